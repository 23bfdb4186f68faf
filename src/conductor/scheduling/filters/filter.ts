/**
 * A filter: one rule that a node must satisfy to take a VM.
 *
 * `keeps` runs for every node of the fleet at every placement: it must be pure and make no strings. The words come
 * from the other functions, which are called only for the few nodes that an explanation shows.
 *
 * `vms` is how many VMs of this request the node would hold, those that this call already put there included.
 */
import type { NodeView } from '../node-view.js';
import type { PlacementRequest } from '../placement-request.js';

export interface Filter {
  readonly name: string;
  keeps(node: NodeView, request: PlacementRequest, vms: number): boolean;
  /** Why the node was removed, to be read after its name: "is down", "has 2 of 8 vCPUs free". */
  reason(node: NodeView, request: PlacementRequest, vms: number): string;
  /** The same for a number of removed nodes: "1 is down", "3 are down". */
  summary(removed: number, request: PlacementRequest): string;
}

/** A filter over something that a node can have too little of, so that near and far misses can be told apart. */
export interface ResourceFilter extends Filter {
  /** The missing amount as a share of what one VM asks for; zero or less when the node has enough. */
  shortfall(node: NodeView, request: PlacementRequest, vms: number): number;
  /** The missing amount in words: "4 GiB of memory". */
  missing(node: NodeView, request: PlacementRequest, vms: number): string;
}
