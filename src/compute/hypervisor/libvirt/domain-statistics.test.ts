import { describe, expect, it } from '@jest/globals';
import { countersOf } from './domain-statistics.js';

describe('the statistics of a domain', () => {
  it('are summed over its disks and interfaces', () => {
    const values = {
      'cpu.time': 5e9,
      'balloon.current': 262_144,
      'balloon.rss': 204_800,
      'net.count': 2,
      'net.0.rx.bytes': 10,
      'net.1.rx.bytes': 1,
      'net.0.tx.bytes': 20,
      'block.count': 2,
      'block.0.rd.bytes': 100,
      'block.1.rd.bytes': 5,
      'block.0.wr.bytes': 200,
    };
    expect(countersOf({ uuid: 'any', values })).toEqual({
      cpuNs: 5e9,
      memoryMib: 200,
      diskReadBytes: 105,
      diskWriteBytes: 200,
      networkInBytes: 11,
      networkOutBytes: 20,
    });
  });

  it('believe the guest about its memory, where it speaks', () => {
    const values = { 'balloon.rss': 204_800, 'balloon.available': 245_760, 'balloon.unused': 143_360 };
    expect(countersOf({ uuid: 'any', values }).memoryMib).toBe(100);
  });
});
