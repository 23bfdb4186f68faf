import { describe, expect, it } from '@jest/globals';
import { aNode, aRequest } from '../node-view.fixture.js';
import { cpuFilter } from './cpu.js';

const using = (vcpus: number) => aNode(1, { used: { vcpus, memoryMib: 0, diskGib: 0 } });

describe('the CPU filter', () => {
  it('keeps a node with exactly as many free vCPUs as are wanted', () => {
    expect(cpuFilter.keeps(using(6), aRequest(), 1)).toBe(true);
  });

  it('removes a node with fewer and says how many are free', () => {
    expect(cpuFilter.keeps(using(7), aRequest(), 1)).toBe(false);
    expect(cpuFilter.reason(using(7), aRequest(), 1)).toBe('has 1 of 8 vCPUs free');
    expect(cpuFilter.missing(using(7), aRequest(), 1)).toBe('1 vCPU');
    expect(cpuFilter.shortfall(using(7), aRequest(), 1)).toBe(0.5);
    expect(cpuFilter.summary(1, aRequest())).toBe('1 lacks vCPUs');
  });

  it('offers what the allocation ratio allows and says so', () => {
    const capacity = { vcpus: 16, memoryMib: 32768, diskGib: 100 };
    const overcommitted = aNode(1, { cpuAllocationRatio: 2, capacity, used: { vcpus: 9, memoryMib: 0, diskGib: 0 } });
    expect(cpuFilter.keeps(overcommitted, aRequest(), 1)).toBe(true);
    expect(cpuFilter.reason(overcommitted, aRequest({ vcpus: 8 }), 1)).toBe('has 7 of 16 vCPUs free (8 CPUs × 2)');
  });

  it('never says that less than nothing is free after the ratio was lowered', () => {
    expect(cpuFilter.reason(using(12), aRequest(), 1)).toBe('has 0 of 8 vCPUs free');
  });

  it('counts the VMs that the call has already put on the node', () => {
    expect(cpuFilter.keeps(using(0), aRequest(), 4)).toBe(true);
    expect(cpuFilter.keeps(using(0), aRequest(), 5)).toBe(false);
  });
});
