/** Nodes and requests for the tests of placement: an idle node and a small VM, each test saying what differs. */
import type { ComputeNodeId, RegionId } from '../../protocol/ids.js';
import type { NodeView } from './node-view.js';
import type { PlacementRequest } from './placement-request.js';

const CANADA = 1 as RegionId;
export const NORWAY = 2 as RegionId;

/** 8 CPUs, 32 GiB of memory, 100 GiB of disk, nothing used. */
export function aNode(id: number, differing: Partial<NodeView> = {}): NodeView {
  return {
    id: id as ComputeNodeId,
    name: `node-${id}`,
    regionId: CANADA,
    up: true,
    draining: false,
    cpus: 8,
    cpuAllocationRatio: 1,
    capacity: { vcpus: 8, memoryMib: 32 * 1024, diskGib: 100 },
    used: { vcpus: 0, memoryMib: 0, diskGib: 0 },
    gpus: new Map(),
    ...differing,
  };
}

/** 2 vCPUs, 4 GiB of memory, 10 GiB of disk, in Canada. */
export function aRequest(differing: Partial<PlacementRequest> = {}): PlacementRequest {
  return {
    regionId: CANADA,
    regionName: 'CANADA-1',
    vcpus: 2,
    memoryMib: 4096,
    diskGib: 10,
    count: 1,
    ...differing,
  };
}

export const withGpus = (model: string, total: number, used = 0): Pick<NodeView, 'gpus'> => ({
  gpus: new Map([[model, { total, used }]]),
});
