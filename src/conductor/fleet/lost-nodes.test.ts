import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { ComputeNodeId } from '../../protocol/ids.js';
import { LostNodes, type NodeSign } from './lost-nodes.js';

const NODE = 1 as ComputeNodeId;
const sign = (text: string, fenceSeconds = 10): NodeSign => ({ id: NODE, fenceSeconds, sign: text });

describe('a node', () => {
  let now = 0;
  const watch = (marginSeconds = 5): LostNodes => new LostNodes(marginSeconds, () => now);
  const at = (seconds: number): void => void (now = seconds * 1000);

  /** Looks every second, from `from` to `to`, with one and the same sign. @returns what the last look found. */
  const look = (nodes: LostNodes, text: string, from: number, to: number): NodeSign[] => {
    let found: NodeSign[] = [];
    for (let second = from; second <= to; second++) {
      at(second);
      found = nodes.observe([sign(text)]);
    }
    return found;
  };

  it('is lost when its sign has not changed for its term and the margin, and not before', () => {
    const nodes = watch();
    expect(look(nodes, 'a', 100, 114)).toEqual([]);
    expect(look(nodes, 'a', 115, 115)).toEqual([sign('a')]);
  });

  it('is not lost when a sign came in the meantime', () => {
    const nodes = watch();
    look(nodes, 'a', 0, 10);
    expect(look(nodes, 'b', 11, 20)).toEqual([]);
  });

  it('is not lost when its sign went back, as after a failover that lost the last of them', () => {
    const nodes = watch();
    look(nodes, 'a', 0, 5);
    look(nodes, 'b', 6, 10);
    expect(look(nodes, 'a', 11, 16)).toEqual([]);
  });

  it('is not lost because the conductor itself could not look for long', () => {
    const nodes = watch();
    look(nodes, 'a', 0, 10);
    expect(look(nodes, 'a', 100, 114)).toEqual([]);
    expect(look(nodes, 'a', 115, 115)).toEqual([sign('a')]);
  });

  it('that was not there for a while is new', () => {
    const nodes = watch();
    look(nodes, 'a', 0, 4);
    at(5);
    nodes.observe([]);
    expect(look(nodes, 'a', 6, 20)).toEqual([]);
  });

  it('is never lost while its lease holds, however signs, looks and pauses fall', () => {
    const TERM = 10;
    const steps = fc.array(fc.record({ pause: fc.double({ min: 0, max: 30, noNaN: true }), beats: fc.boolean() }), { maxLength: 40 });
    fc.assert(
      fc.property(steps, (moves) => {
        at(0);
        const nodes = watch(0.5);
        let written = 0;
        let leaseUntil = TERM;
        let time = 0;
        for (const { pause, beats } of moves) {
          time += pause;
          at(time);
          // Sent before it is written, and looked at some time after.
          if (beats) {
            written++;
            leaseUntil = time + TERM;
          }
          if (time < leaseUntil) expect(nodes.observe([sign(String(written), TERM)])).toEqual([]);
          else nodes.observe([sign(String(written), TERM)]);
        }
      }),
    );
  });
});
