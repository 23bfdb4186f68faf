/** Root disks are thin, but counted whole: a node whose disk fills up stops every guest on it. */
import type { NodeView } from '../node-view.js';
import type { PlacementRequest } from '../placement-request.js';
import { freeOf, lacking, nodesThat } from '../quantities.js';
import type { ResourceFilter } from './filter.js';

/** Free once the VMs before this one have theirs. */
const free = (node: NodeView, request: PlacementRequest, vms: number): number =>
  node.capacity.diskGib - node.used.diskGib - request.diskGib * (vms - 1);

export const diskFilter: ResourceFilter = {
  name: 'disk',

  keeps: (node, request, vms) => free(node, request, vms) >= request.diskGib,

  reason: (node, request, vms) => `has ${freeOf(free(node, request, vms), node.capacity.diskGib)} GiB of disk free`,

  summary: (removed) => nodesThat(removed, 'lacks', 'lack') + ' disk',

  shortfall: (node, request, vms) => (request.diskGib - free(node, request, vms)) / request.diskGib,

  missing: (node, request, vms) => `${lacking(request.diskGib - free(node, request, vms))} GiB of disk`,
};
