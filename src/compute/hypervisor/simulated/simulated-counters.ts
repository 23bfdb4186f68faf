/** What a simulated guest would have used: waves of load over time, each guest's its own, exact at any moment. */
import { createHash } from 'node:crypto';
import type { GuestCounters } from '../hypervisor.js';
import type { SimulatedDomain } from './journal.js';

const NS = 1e9;
const MIB = 2 ** 20;

/** The sum, up to `seconds`, of a load that swings between nothing and twice its mean. */
const swing = (mean: number, period: number, seconds: number): number =>
  mean * (seconds - (period / (2 * Math.PI)) * Math.sin((2 * Math.PI * seconds) / period));

/** @param seconds that the counters run already. */
export function simulatedCounters({ vmUuid, incarnationId, hardware }: SimulatedDomain, seconds: number): GuestCounters {
  const [load, disk, network, memory] = createHash('sha256').update(vmUuid).digest().subarray(0, 4);
  const share = (byte: number | undefined): number => 0.2 + (0.6 * byte!) / 255;
  const wave = (mean: number, period: number): number => Math.round(swing(mean, period, seconds));
  return {
    vmUuid,
    incarnationId,
    cpuNs: wave(share(load) * 0.3 * (hardware?.vcpus ?? 1) * NS, 600),
    memoryMib: Math.round((hardware?.memoryMib ?? 512) * share(memory) * (1 + 0.1 * Math.sin(seconds / 300))),
    diskReadBytes: wave(share(disk) * 0.5 * MIB, 900),
    diskWriteBytes: wave(share(disk) * 0.3 * MIB, 700),
    networkInBytes: wave(share(network) * 0.4 * MIB, 800),
    networkOutBytes: wave(share(network) * 0.2 * MIB, 500),
  };
}
