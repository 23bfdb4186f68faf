import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { ComputeNodeId } from '../../../protocol/ids.js';
import type { Amounts, NodeView } from '../node-view.js';
import { aNode, aRequest, NORWAY, withGpus } from '../node-view.fixture.js';
import type { PlacementRequest } from '../placement-request.js';
import { FILTERS, firstRemoving } from './pipeline.js';

const request = aRequest({ gpu: { model: 'A100-80G', count: 1 }, excludedNodes: new Set([9 as ComputeNodeId]) });
const full = { vcpus: 8, memoryMib: 32 * 1024, diskGib: 100 };
const idle = aNode(1, withGpus('A100-80G', 1));

/** For each filter, what makes a node fail it. */
const faults: Record<string, Partial<NodeView>> = {
  region: { regionId: NORWAY },
  home: {},
  up: { up: false },
  draining: { draining: true },
  excluded: { id: 9 as ComputeNodeId },
  gpu: { gpus: new Map() },
  cpu: { used: { ...idle.used, vcpus: full.vcpus } },
  memory: { used: { ...idle.used, memoryMib: full.memoryMib } },
  disk: { used: { ...idle.used, diskGib: full.diskGib } },
};

/** What is asked for makes this one, and not the node. */
const asked = (names: readonly string[]): PlacementRequest => (names.includes('home') ? { ...request, home: 2 as ComputeNodeId } : request);

describe('the pipeline', () => {
  it('keeps a node that every filter keeps', () => {
    expect(firstRemoving(idle, request, 1)).toBe(FILTERS.length);
  });

  it('knows a fault for every filter of the table', () => {
    expect(FILTERS.map((filter) => filter.name)).toEqual(Object.keys(faults));
  });

  it.each(FILTERS.map((filter, index) => ({ name: filter.name, index })))(
    'removes by $name a node whose only fault that is',
    ({ name, index }) => {
      expect(firstRemoving({ ...idle, ...faults[name] }, asked([name]), 1)).toBe(index);
    },
  );

  it('removes a node with several faults by the first filter in the order of the table', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.constantFrom(...Object.keys(faults)), { minLength: 1 }), (names) => {
        const used: Record<keyof Amounts, number> = { ...idle.used };
        let node = idle;
        for (const name of names) {
          const { used: claimed, ...condition } = faults[name]!;
          for (const key of ['vcpus', 'memoryMib', 'diskGib'] as const) if (claimed?.[key]) used[key] = claimed[key];
          node = { ...node, ...condition, used };
        }
        expect(firstRemoving(node, asked(names), 1)).toBe(FILTERS.findIndex((filter) => names.includes(filter.name)));
      }),
    );
  });
});
