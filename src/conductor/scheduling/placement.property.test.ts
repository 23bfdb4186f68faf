/**
 * What holds for every fleet and request. Room is counted here independently of the filters, so that a filter that
 * is wrong fails these too.
 */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { ComputeNodeId, RegionId } from '../../protocol/ids.js';
import type { NodeView } from './node-view.js';
import type { PlacementRequest } from './placement-request.js';
import { place, type PlacementOptions } from './placement.js';

const stock = fc.record({ total: fc.nat(4), claimed: fc.nat(4) }).map(({ total, claimed }) => ({
  total,
  used: Math.min(total, claimed),
}));
const amounts = (vcpus: number, memoryMib: number, diskGib: number) =>
  fc.record({ vcpus: fc.nat(vcpus), memoryMib: fc.nat(memoryMib), diskGib: fc.nat(diskGib) });

const anyNode = fc.record({
  regionId: fc.constantFrom(1, 1, 1, 2) as fc.Arbitrary<RegionId>,
  up: fc.constantFrom(true, true, true, false),
  draining: fc.constantFrom(false, false, false, true),
  cpus: fc.integer({ min: 1, max: 16 }),
  cpuAllocationRatio: fc.constantFrom(1, 1.5, 4),
  capacity: amounts(0, 16384, 200),
  // May exceed the capacity: an operator lowered the ratio or took a disk out.
  used: amounts(16, 8192, 120),
  gpus: fc.oneof(
    fc.constant(new Map()),
    fc.dictionary(fc.constantFrom('A', 'B'), stock).map((byModel) => new Map(Object.entries(byModel))),
  ),
});

const anyFleet = fc.array(anyNode, { maxLength: 40 }).map((nodes): NodeView[] =>
  nodes.map((node, index) => ({
    ...node,
    id: (index + 1) as ComputeNodeId,
    name: `node-${index + 1}`,
    capacity: { ...node.capacity, vcpus: node.cpus * node.cpuAllocationRatio },
  })),
);

const anyRequest: fc.Arbitrary<PlacementRequest> = fc.record({
  regionId: fc.constant(1 as RegionId),
  regionName: fc.constant('CANADA-1'),
  vcpus: fc.integer({ min: 1, max: 8 }),
  memoryMib: fc.integer({ min: 1, max: 4096 }),
  diskGib: fc.nat(40),
  gpu: fc.option(fc.record({ model: fc.constantFrom('A', 'B'), count: fc.integer({ min: 1, max: 2 }) }), {
    nil: undefined,
    freq: 2,
  }),
  count: fc.integer({ min: 1, max: 20 }),
  excludedNodes: fc
    .uniqueArray(fc.integer({ min: 1, max: 40 }), { maxLength: 4 })
    .map((ids) => new Set(ids as ComputeNodeId[])),
});

const anyOptions: fc.Arbitrary<PlacementOptions> = fc.record({
  policy: fc.constantFrom('spread', 'pack'),
  random: fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })).map(
    (values) => () => values.next().value as number,
  ),
});

/** How many VMs of the request the node takes, counted by division. */
function room(node: NodeView, request: PlacementRequest): number {
  if (!node.up || node.draining || node.regionId !== request.regionId) return 0;
  if (request.excludedNodes?.has(node.id)) return 0;
  const fits = (['vcpus', 'memoryMib', 'diskGib'] as const).map((key) => {
    const free = node.capacity[key] - node.used[key];
    return request[key] === 0 ? (free < 0 ? 0 : Infinity) : Math.floor(free / request[key]);
  });
  if (request.gpu !== undefined) {
    const { total, used } = node.gpus.get(request.gpu.model) ?? { total: 0, used: 0 };
    fits.push(Math.floor((total - used) / request.gpu.count));
  }
  return Math.max(0, Math.min(...fits));
}

const totalRoom = (nodes: NodeView[], request: PlacementRequest): number =>
  nodes.reduce((sum, node) => sum + room(node, request), 0);

const RUNS = { numRuns: 500 };

describe('placement, for every fleet and request,', () => {
  it('never puts more on a node than it has room for', () => {
    fc.assert(
      fc.property(anyFleet, anyRequest, anyOptions, (nodes, request, options) => {
        const result = place(nodes, request, options);
        if (!('placed' in result)) return;
        expect(result.placed).toHaveLength(request.count);
        for (const node of nodes) {
          const onNode = result.placed.filter((id) => id === node.id).length;
          expect(onNode).toBeLessThanOrEqual(room(node, request));
        }
      }),
      RUNS,
    );
  });

  it('refuses exactly when the room of all nodes is less than the count, and says how many fit', () => {
    fc.assert(
      fc.property(anyFleet, anyRequest, anyOptions, (nodes, request, options) => {
        const result = place(nodes, request, options);
        const fitting = totalRoom(nodes, request);
        expect('placed' in result).toBe(fitting >= request.count);
        if ('refused' in result) expect(result.refused.placeable).toBe(fitting);
      }),
      RUNS,
    );
  });

  it('finds the same requests possible whatever the order of the nodes', () => {
    const shuffled = anyFleet.chain((nodes) =>
      fc.tuple(fc.constant(nodes), fc.shuffledSubarray(nodes, { minLength: nodes.length, maxLength: nodes.length })),
    );
    fc.assert(
      fc.property(shuffled, anyRequest, anyOptions, ([nodes, reordered], request, options) => {
        expect('placed' in place(reordered, request, options)).toBe('placed' in place(nodes, request, options));
      }),
      RUNS,
    );
  });

  it('accounts in a refusal for every node, by the filter that removed it', () => {
    fc.assert(
      fc.property(anyFleet, anyRequest, anyOptions, (nodes, request, options) => {
        const result = place(nodes, request, options);
        if (!('refused' in result)) return;
        const { steps, considered } = result.refused;
        expect(considered).toBe(nodes.length);
        expect(steps.reduce((sum, step) => sum + step.removed, 0)).toBe(nodes.length);
        expect(steps.at(-1)?.left).toBe(0);
      }),
      RUNS,
    );
  });
});
