import { describe, expect, it } from '@jest/globals';
import type { ComputeNodeId } from '../../protocol/ids.js';
import { aNode, aRequest, withGpus } from './node-view.fixture.js';
import type { NodeView } from './node-view.js';
import type { PlacementRequest } from './placement-request.js';
import { place, type PlacementPolicy } from './placement.js';

const first = () => 0;
const last = () => 0.999999;

function placed(
  nodes: NodeView[],
  request: PlacementRequest,
  policy: PlacementPolicy = 'spread',
  random: () => number = first,
): number[] {
  const result = place(nodes, request, { policy, random });
  if (!('placed' in result)) throw new Error(`refused: ${JSON.stringify(result.refused)}`);
  return [...result.placed];
}

const used = (vcpus: number) => ({ used: { vcpus, memoryMib: 0, diskGib: 0 } });

describe('placement', () => {
  it('spreads VMs alike evenly over idle nodes', () => {
    expect(placed([aNode(1), aNode(2), aNode(3)], aRequest({ count: 6 })).sort()).toEqual([1, 1, 2, 2, 3, 3]);
  });

  it('packs VMs alike onto one node until it is full', () => {
    expect(placed([aNode(1, used(2)), aNode(2)], aRequest({ count: 4 }), 'pack')).toEqual([1, 1, 1, 2]);
  });

  it('draws among nodes that are equally good', () => {
    const nodes = [aNode(1), aNode(2), aNode(3)];
    const draws = [0, 0.4, 0.8].map((value) => placed(nodes, aRequest(), 'spread', () => value)[0]);
    expect(new Set(draws).size).toBeGreaterThan(1);
  });

  it('starts at any node of a large idle fleet, so that conductors do not meet at the first', () => {
    const nodes = Array.from({ length: 100 }, (_, index) => aNode(index + 1));
    expect(placed(nodes, aRequest(), 'spread', () => 0.5)[0]).toBeGreaterThan(50);
  });

  it.each([first, last])('never draws a node that is clearly worse', (random) => {
    expect(placed([aNode(1, used(4)), aNode(2), aNode(3, used(4))], aRequest(), 'spread', random)).toEqual([2]);
  });

  it('uses a GPU node for a VM without a GPU only when the others are full', () => {
    const nodes = [aNode(1, withGpus('A100-80G', 4)), aNode(2, used(4))];
    expect(placed(nodes, aRequest({ count: 3 }))).toEqual([2, 2, 1]);
  });

  it.each([first, last])('does not draw a huge idle GPU node beside one that the VM fills up', (random) => {
    const capacity = { vcpus: 1000, memoryMib: 8192 * 1024, diskGib: 100_000 };
    const nodes = [aNode(1, { ...withGpus('A100-80G', 4), capacity }), aNode(2, used(6))];
    expect(placed(nodes, aRequest(), 'spread', random)).toEqual([2]);
  });

  it('finds room for many VMs on as many nodes that take one each', () => {
    const nodes = Array.from({ length: 20 }, (_, index) => aNode(index + 1, used(6)));
    expect(new Set(placed(nodes, aRequest({ count: 20 })))).toEqual(new Set(nodes.map((node) => node.id)));
  });

  it('leaves out the nodes where the VM has failed', () => {
    const request = aRequest({ excludedNodes: new Set([1 as ComputeNodeId]) });
    expect(placed([aNode(1), aNode(2, used(6))], request)).toEqual([2]);
  });

  it('places none when one of the VMs has no room', () => {
    const result = place([aNode(1)], aRequest({ count: 5 }), { policy: 'spread', random: first });
    expect(result).toMatchObject({ refused: { placeable: 4, considered: 1 } });
    expect(result).not.toHaveProperty('placed');
  });

  it('counts for a success how many nodes each filter removed and left', () => {
    const nodes = [aNode(1, { up: false }), aNode(2, used(8)), aNode(3)];
    const { explanation } = place(nodes, aRequest(), { policy: 'spread', random: first }) as Extract<
      ReturnType<typeof place>,
      { placed: unknown }
    >;
    const steps = explanation.steps.map(({ filter, removed, left }) => `${filter} -${removed} =${left}`);
    expect(steps).toEqual(
      ['region -0 =3', 'home -0 =3', 'up -1 =2', 'draining -0 =2', 'excluded -0 =2', 'gpu -0 =2', 'cpu -1 =1'].concat(
        ['memory -0 =1', 'disk -0 =1'],
      ),
    );
  });

  it.each([0, -1, 1.5, Number.NaN])('refuses to place %p VMs', (count) => {
    expect(() => place([aNode(1)], aRequest({ count }), { policy: 'spread', random: first })).toThrow(RangeError);
  });
});
