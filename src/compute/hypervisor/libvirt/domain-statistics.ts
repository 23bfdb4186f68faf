/** What libvirt tells of a running domain, in names and numbers, as the counters of the port. */
import type { GuestCounters } from '../hypervisor.js';

export interface DomainStatistics {
  readonly uuid: string;
  readonly values: Readonly<Record<string, number>>;
}

const KIB_PER_MIB = 1024;

/** Sums `net.0.rx.bytes`, `net.1.rx.bytes` …; a disk that was taken away leaves no counter. */
function sum(values: DomainStatistics['values'], device: string, counter: string): number {
  let total = 0;
  for (let index = 0; index < (values[`${device}.count`] ?? 0); index++) total += values[`${device}.${index}.${counter}`] ?? 0;
  return total;
}

/** What the guest itself says that it uses, else what QEMU holds of the host's memory for it. */
function memoryKib(values: DomainStatistics['values']): number {
  const { 'balloon.available': available, 'balloon.unused': unused, 'balloon.rss': held, 'balloon.current': given } = values;
  return available !== undefined && unused !== undefined ? available - unused : (held ?? given ?? 0);
}

export function countersOf({ values }: DomainStatistics): Omit<GuestCounters, 'vmUuid' | 'incarnationId'> {
  return {
    cpuNs: values['cpu.time'] ?? 0,
    memoryMib: Math.round(memoryKib(values) / KIB_PER_MIB),
    diskReadBytes: sum(values, 'block', 'rd.bytes'),
    diskWriteBytes: sum(values, 'block', 'wr.bytes'),
    networkInBytes: sum(values, 'net', 'rx.bytes'),
    networkOutBytes: sum(values, 'net', 'tx.bytes'),
  };
}
