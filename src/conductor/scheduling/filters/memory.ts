/** Memory is never overcommitted: a guest that the host cannot back is killed, not slowed. */
import type { NodeView } from '../node-view.js';
import type { PlacementRequest } from '../placement-request.js';
import { freeOf, lacking, nodesThat } from '../quantities.js';
import type { ResourceFilter } from './filter.js';

/** Free once the VMs before this one have theirs. */
const free = (node: NodeView, request: PlacementRequest, vms: number): number =>
  node.capacity.memoryMib - node.used.memoryMib - request.memoryMib * (vms - 1);

export const memoryFilter: ResourceFilter = {
  name: 'memory',

  keeps: (node, request, vms) => free(node, request, vms) >= request.memoryMib,

  reason: (node, request, vms) =>
    `has ${freeOf(free(node, request, vms) / 1024, node.capacity.memoryMib / 1024)} GiB of memory free`,

  summary: (removed) => nodesThat(removed, 'lacks', 'lack') + ' memory',

  shortfall: (node, request, vms) => (request.memoryMib - free(node, request, vms)) / request.memoryMib,

  missing: (node, request, vms) => `${lacking((request.memoryMib - free(node, request, vms)) / 1024)} GiB of memory`,
};
