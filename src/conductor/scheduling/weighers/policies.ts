/**
 * What a policy means: weighers, each with the factor that its answer counts for.
 *
 * GPU avoidance counts for more than all of the free share, so that a VM without a GPU goes to a GPU node only when
 * every other node is full.
 */
import type { NodeView } from '../node-view.js';
import type { PlacementRequest } from '../placement-request.js';
import { gpuAvoidanceWeigher } from './gpu-avoidance.js';
import { packWeigher } from './pack.js';
import { spreadWeigher } from './spread.js';
import type { Weigher } from './weigher.js';

export type PlacementPolicy = 'spread' | 'pack';

interface Weighed {
  readonly weigher: Weigher;
  readonly factor: number;
}

export const POLICIES: Readonly<Record<PlacementPolicy, readonly Weighed[]>> = {
  spread: [
    { weigher: spreadWeigher, factor: 1 },
    { weigher: gpuAvoidanceWeigher, factor: 2 },
  ],
  pack: [
    { weigher: packWeigher, factor: 1 },
    { weigher: gpuAvoidanceWeigher, factor: 2 },
  ],
};

/** The higher, the better. */
export function score(policy: PlacementPolicy, node: NodeView, request: PlacementRequest, vms: number): number {
  let sum = 0;
  for (const { weigher, factor } of POLICIES[policy]) sum += factor * weigher.weigh(node, request, vms);
  return sum;
}
