import { describe, expect, it } from '@jest/globals';
import { aNode, aRequest } from '../node-view.fixture.js';
import { memoryFilter } from './memory.js';

const using = (memoryMib: number) => aNode(1, { used: { vcpus: 0, memoryMib, diskGib: 0 } });

describe('the memory filter', () => {
  it('keeps a node with exactly as much free memory as is wanted', () => {
    expect(memoryFilter.keeps(using(28 * 1024), aRequest(), 1)).toBe(true);
  });

  it('removes a node with less and says how much is free', () => {
    const full = using(31 * 1024);
    expect(memoryFilter.keeps(full, aRequest(), 1)).toBe(false);
    expect(memoryFilter.reason(full, aRequest(), 1)).toBe('has 1 of 32 GiB of memory free');
    expect(memoryFilter.missing(full, aRequest(), 1)).toBe('3 GiB of memory');
    expect(memoryFilter.shortfall(full, aRequest(), 1)).toBe(0.75);
    expect(memoryFilter.summary(2, aRequest())).toBe('2 lack memory');
  });

  it('does not round a miss of one MiB away', () => {
    const nearly = using(28 * 1024 + 1);
    expect(memoryFilter.keeps(nearly, aRequest(), 1)).toBe(false);
    expect(memoryFilter.reason(nearly, aRequest(), 1)).toBe('has 3.9 of 32 GiB of memory free');
    expect(memoryFilter.missing(nearly, aRequest(), 1)).toBe('0.1 GiB of memory');
  });

  it('counts the VMs that the call has already put on the node', () => {
    expect(memoryFilter.keeps(using(0), aRequest(), 8)).toBe(true);
    expect(memoryFilter.keeps(using(0), aRequest(), 9)).toBe(false);
  });
});
