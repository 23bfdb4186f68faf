import { describe, expect, it } from '@jest/globals';
import type { ComputeNodeId } from '../../protocol/ids.js';
import { explainInWords } from './explain-in-words.js';
import { aNode, aRequest, NORWAY, withGpus } from './node-view.fixture.js';
import type { NodeView } from './node-view.js';
import type { PlacementRequest } from './placement-request.js';
import { place } from './placement.js';

function explain(nodes: NodeView[], request: PlacementRequest) {
  const result = place(nodes, request, { policy: 'spread', random: () => 0 });
  return 'placed' in result ? result.explanation : result.refused;
}
const inWords = (nodes: NodeView[], request: PlacementRequest) => explainInWords(explain(nodes, request));
const large = aRequest({ vcpus: 8, memoryMib: 32 * 1024, gpu: { model: 'A100-80G', count: 1 } });

describe('a placement in words', () => {
  it('says what is wanted, what removed each node, and which was nearest', () => {
    expect(inWords([aNode(1, { up: false }), aNode(2, withGpus('A100-80G', 1, 1)), aNode(3)], large)).toBe(
      'No node can take 1 × 8 vCPUs, 32 GiB, 10 GiB disk, 1 × A100-80G in region CANADA-1: ' +
        'of 3 nodes, 1 is down, 2 lack 1 × A100-80G. Nearest: node-2 lacks 1 × A100-80G.',
    );
  });

  it('names everything that the nearest node lacks', () => {
    const used = { vcpus: 7, memoryMib: 30 * 1024, diskGib: 95 };
    expect(inWords([aNode(1, { used })], aRequest())).toMatch(
      /Nearest: node-1 lacks 1 vCPU, 2 GiB of memory and 5 GiB of disk\.$/,
    );
  });

  it('holds a node that is up nearer than an idle one that is down', () => {
    const full = { vcpus: 8, memoryMib: 32 * 1024, diskGib: 100 };
    expect(explain([aNode(1, { up: false }), aNode(2, { used: full })], aRequest()).nearest?.nodeName).toBe('node-2');
  });

  it('holds the node that lacks the smaller share nearer, whichever filter removed it', () => {
    const noCpu = aNode(1, { used: { vcpus: 7, memoryMib: 0, diskGib: 0 } });
    const noDisk = aNode(2, { used: { vcpus: 0, memoryMib: 0, diskGib: 99 } });
    expect(explain([noDisk, noCpu], aRequest()).nearest?.nodeName).toBe('node-1');
  });

  it('says why the nearest node is not eligible when none is', () => {
    const excludedNodes = new Set([1 as ComputeNodeId]);
    expect(inWords([aNode(1), aNode(2, { draining: true })], aRequest({ excludedNodes }))).toMatch(
      /of 2 nodes, 1 is draining, 1 has already failed to start this VM\. Nearest: node-1 has already failed/,
    );
  });

  it('does not offer a node of another region as near', () => {
    expect(inWords([aNode(1, { regionId: NORWAY })], aRequest())).toBe(
      'No node can take 1 × 2 vCPUs, 4 GiB, 10 GiB disk in region CANADA-1: of 1 node, 1 is in another region.',
    );
  });

  it('says that there are no nodes', () => {
    expect(inWords([], aRequest())).toMatch(/: there are no nodes\.$/);
  });

  it('says how many of several could be placed and what the next one lacks', () => {
    expect(inWords([aNode(1), aNode(2, { up: false })], aRequest({ count: 5 }))).toBe(
      'Only 4 of 5 × 2 vCPUs, 4 GiB, 10 GiB disk can be placed in region CANADA-1: for one more, ' +
        'of 2 nodes, 1 is down, 1 lacks vCPUs. Nearest: node-1 lacks 2 vCPUs.',
    );
  });

  it('says of a success how many nodes have room', () => {
    expect(inWords([aNode(1), aNode(2, { up: false })], aRequest())).toBe(
      'There is room for 1 × 2 vCPUs, 4 GiB, 10 GiB disk in region CANADA-1: of 2 nodes, 1 is down, 1 has room.',
    );
  });

  it('shows a bounded number of reasons, however large the fleet', () => {
    const nodes = Array.from({ length: 50 }, (_, index) => aNode(index + 1, { up: index % 2 === 0, draining: true }));
    const { reasons } = explain(nodes, aRequest());
    expect(reasons.map(({ nodeName, reason }) => `${nodeName} ${reason}`)).toEqual([
      'node-1 is draining',
      'node-2 is down',
      'node-3 is draining',
      'node-4 is down',
      'node-5 is draining',
      'node-6 is down',
    ]);
  });

  it('survives being stored', () => {
    const explanation = explain([aNode(1, { up: false })], { ...large, excludedNodes: new Set([7 as ComputeNodeId]) });
    const stored = JSON.parse(JSON.stringify(explanation));
    expect(stored).toEqual(explanation);
    expect(explainInWords(stored)).toBe(explainInWords(explanation));
  });
});
