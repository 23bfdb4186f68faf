/**
 * The share that would stay free of a node's scarcest resource, which is the one that decides how soon it is full.
 * Averages hide it: a node with much disk and no memory left is full.
 */
import type { NodeView } from '../node-view.js';
import type { PlacementRequest } from '../placement-request.js';

/** A node that has none of a resource passed the filters, so the request wants none of it either. */
const share = (capacity: number, claimed: number): number => (capacity > 0 ? (capacity - claimed) / capacity : 1);

export function freeShare({ capacity, used }: NodeView, request: PlacementRequest, vms: number): number {
  return Math.min(
    share(capacity.vcpus, used.vcpus + request.vcpus * vms),
    share(capacity.memoryMib, used.memoryMib + request.memoryMib * vms),
    share(capacity.diskGib, used.diskGib + request.diskGib * vms),
  );
}
