import { describe, expect, it } from '@jest/globals';
import { aNode, aRequest } from '../node-view.fixture.js';
import { diskFilter } from './disk.js';

const using = (diskGib: number) => aNode(1, { used: { vcpus: 0, memoryMib: 0, diskGib } });

describe('the disk filter', () => {
  it('keeps a node with exactly as much free disk as is wanted', () => {
    expect(diskFilter.keeps(using(90), aRequest(), 1)).toBe(true);
  });

  it('removes a node with less and says how much is free', () => {
    expect(diskFilter.keeps(using(92), aRequest(), 1)).toBe(false);
    expect(diskFilter.reason(using(92), aRequest(), 1)).toBe('has 8 of 100 GiB of disk free');
    expect(diskFilter.missing(using(92), aRequest(), 1)).toBe('2 GiB of disk');
    expect(diskFilter.shortfall(using(92), aRequest(), 1)).toBe(0.2);
    expect(diskFilter.summary(1, aRequest())).toBe('1 lacks disk');
  });

  it('counts the VMs that the call has already put on the node', () => {
    expect(diskFilter.keeps(using(0), aRequest(), 10)).toBe(true);
    expect(diskFilter.keeps(using(0), aRequest(), 11)).toBe(false);
  });
});
