/**
 * What placement is asked for: `count` VMs alike in one region, all or none.
 *
 * Alike is what keeps placement simple: a node's room for the request is one number, and a node that holds `n` of
 * this call's VMs is judged by asking whether it could take `n + 1`, without copying or changing its view.
 */
import type { ComputeNodeId, RegionId } from '../../protocol/ids.js';
import type { GpuSpec } from '../../protocol/task.js';

export interface PlacementRequest {
  readonly regionId: RegionId;
  /** Only for the words of the explanation. */
  readonly regionName: string;
  readonly vcpus: number;
  readonly memoryMib: number;
  readonly diskGib: number;
  readonly gpu?: GpuSpec;
  readonly count: number;
  /** The only node that has what the VM is to be made of. */
  readonly home?: ComputeNodeId | undefined;
  /** Nodes where this VM has already failed to start. */
  readonly excludedNodes?: ReadonlySet<ComputeNodeId>;
}
