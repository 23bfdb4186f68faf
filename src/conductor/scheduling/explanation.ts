/**
 * Why a request was placed or refused: plain data, stored with the VM and shown to its owner.
 *
 * A placement that succeeds pays for counts alone. Reasons and the nearest miss are found in a second walk over the
 * fleet, made only for a refusal; it asks the same filters, so an explanation cannot contradict the decision.
 */
import type { ComputeNodeId } from '../../protocol/ids.js';
import { CONDITIONS, FILTERS, RESOURCES, firstRemoving } from './filters/pipeline.js';
import type { NodeView } from './node-view.js';
import type { PlacementRequest } from './placement-request.js';

const REASONS_PER_FILTER = 3;

export interface FilterStep {
  readonly filter: string;
  readonly removed: number;
  readonly left: number;
  /** "2 are down"; empty when nothing was removed. */
  readonly summary: string;
}

export interface RemovalReason {
  readonly nodeId: ComputeNodeId;
  readonly nodeName: string;
  readonly filter: string;
  /** To be read after the node's name. */
  readonly reason: string;
}

export interface PlacementExplanation {
  readonly wanted: Pick<PlacementRequest, 'regionName' | 'vcpus' | 'memoryMib' | 'diskGib' | 'gpu' | 'count'>;
  readonly considered: number;
  /** How many of the wanted VMs have room together; equals `wanted.count` when they were placed. */
  readonly placeable: number;
  /** In order. For the first VM when all were placed, for the first that has no node when refused. */
  readonly steps: readonly FilterStep[];
  /** For a refusal: a few for each filter, not every node. */
  readonly reasons: readonly RemovalReason[];
  /** For a refusal: the node in the region that lacks least; `reason` is to be read after its name. */
  readonly nearest?: { readonly nodeId: ComputeNodeId; readonly nodeName: string; readonly reason: string };
}

/** `removed` has one count for each filter. */
export function explainPlaced(
  request: PlacementRequest,
  considered: number,
  removed: readonly number[],
): PlacementExplanation {
  return {
    wanted: wanted(request),
    considered,
    placeable: request.count,
    steps: steps(request, considered, removed),
    reasons: [],
  };
}

/** `taken` is what could be placed of the request before no node was left for the next VM. */
export function explainRefused(
  nodes: readonly NodeView[],
  request: PlacementRequest,
  taken: readonly ComputeNodeId[],
): PlacementExplanation {
  const held = new Map<ComputeNodeId, number>();
  for (const id of taken) held.set(id, (held.get(id) ?? 0) + 1);

  const removed = FILTERS.map(() => 0);
  const reasons: RemovalReason[] = [];
  const nearest = new NearestMiss(request);
  for (const node of nodes) {
    const vms = (held.get(node.id) ?? 0) + 1;
    const index = firstRemoving(node, request, vms);
    const filter = FILTERS[index]!;
    if (++removed[index]! <= REASONS_PER_FILTER) {
      const reason = filter.reason(node, request, vms);
      reasons.push({ nodeId: node.id, nodeName: node.name, filter: filter.name, reason });
    }
    nearest.consider(node, vms, index);
  }
  return {
    wanted: wanted(request),
    considered: nodes.length,
    placeable: taken.length,
    steps: steps(request, nodes.length, removed),
    reasons,
    nearest: nearest.inWords(),
  };
}

function wanted(request: PlacementRequest): PlacementExplanation['wanted'] {
  const { regionName, vcpus, memoryMib, diskGib, gpu, count } = request;
  return { regionName, vcpus, memoryMib, diskGib, gpu, count };
}

function steps(request: PlacementRequest, considered: number, removed: readonly number[]): FilterStep[] {
  let left = considered;
  return FILTERS.map((filter, index) => {
    const count = removed[index]!;
    left -= count;
    return { filter: filter.name, removed: count, left, summary: count === 0 ? '' : filter.summary(count, request) };
  });
}

/** The node that met most conditions and, of those, lacks the smallest share of what is wanted. */
class NearestMiss {
  private node: NodeView | undefined;
  private vms = 0;
  private conditionsMet = 0;
  private shortfall = Infinity;

  constructor(private readonly request: PlacementRequest) {}

  consider(node: NodeView, vms: number, removedBy: number): void {
    const conditionsMet = Math.min(removedBy, CONDITIONS.length);
    // The region comes first: a node elsewhere is not near, however empty it is.
    if (conditionsMet === 0 || conditionsMet < this.conditionsMet) return;
    let shortfall = 0;
    for (const resource of RESOURCES) {
      if (!resource.keeps(node, this.request, vms)) shortfall += resource.shortfall(node, this.request, vms);
    }
    if (conditionsMet === this.conditionsMet && shortfall >= this.shortfall) return;
    Object.assign(this, { node, vms, conditionsMet, shortfall });
  }

  inWords(): PlacementExplanation['nearest'] {
    const { node, vms, request } = this;
    if (node === undefined) return undefined;
    const unmet = CONDITIONS[this.conditionsMet];
    const missing = RESOURCES.filter((resource) => !resource.keeps(node, request, vms)).map((resource) =>
      resource.missing(node, request, vms),
    );
    const reason = unmet === undefined ? `lacks ${list(missing)}` : unmet.reason(node, request, vms);
    return { nodeId: node.id, nodeName: node.name, reason };
  }
}

function list(items: readonly string[]): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
}
