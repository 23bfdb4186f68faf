/** vCPUs share the processors of the node, up to its allocation ratio. */
import type { NodeView } from '../node-view.js';
import type { PlacementRequest } from '../placement-request.js';
import { freeOf, lacking, nodesThat, vcpus } from '../quantities.js';
import type { ResourceFilter } from './filter.js';

/** Free once the VMs before this one have theirs. */
const free = (node: NodeView, request: PlacementRequest, vms: number): number =>
  node.capacity.vcpus - node.used.vcpus - request.vcpus * (vms - 1);

export const cpuFilter: ResourceFilter = {
  name: 'cpu',

  keeps: (node, request, vms) => free(node, request, vms) >= request.vcpus,

  reason(node, request, vms) {
    const words = `has ${freeOf(free(node, request, vms), node.capacity.vcpus)} vCPUs free`;
    return node.cpuAllocationRatio === 1 ? words : `${words} (${node.cpus} CPUs × ${node.cpuAllocationRatio})`;
  },

  summary: (removed) => nodesThat(removed, 'lacks', 'lack') + ' vCPUs',

  shortfall: (node, request, vms) => (request.vcpus - free(node, request, vms)) / request.vcpus,

  missing: (node, request, vms) => vcpus(Number(lacking(request.vcpus - free(node, request, vms)))),
};
