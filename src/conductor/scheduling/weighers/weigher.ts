/**
 * A weigher: how good a node that passed every filter would be, from 0 (worst) to 1 (best).
 *
 * Pure, and run for every remaining node at every placement. It judges the node as it would be with `vms` VMs of this
 * request on it, those that this call already put there included. It must give a number for any node: a NaN would
 * lose the node silently.
 */
import type { NodeView } from '../node-view.js';
import type { PlacementRequest } from '../placement-request.js';

export interface Weigher {
  readonly name: string;
  weigh(node: NodeView, request: PlacementRequest, vms: number): number;
}
