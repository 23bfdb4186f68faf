/** What processes cost: CPU seconds and resident memory, read from /proc, for the descendants of the bench itself. */
import { readdirSync, readFileSync } from 'node:fs';

/** Kernel ticks a second: fixed at 100 on Linux for user space. */
const TICKS = 100;

export interface Usage {
  readonly cpuSeconds: number;
  /** Memory that the processes have for themselves, plus their share of what they share (PSS). */
  readonly residentMb: number;
}

interface Process {
  readonly parent: number;
  readonly cpuSeconds: number;
  readonly part: string;
}

function read(pid: number): Process | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
    // Own time and that of children that have ended.
    const ticks = [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0);
    return { parent: Number(fields[1]), cpuSeconds: ticks / TICKS, part: partOf(command) };
  } catch {
    return undefined;
  }
}

function partOf(command: string): string {
  if (command.includes('main.js --compute')) return 'compute';
  if (command.includes('main.js')) return 'conductor';
  if (command.includes('postgres')) return 'postgresql';
  if (command.includes('beam') || command.includes('epmd') || command.includes('erl_child')) return 'rabbitmq';
  return 'other';
}

function residentMb(pid: number): number {
  try {
    const [, kib] = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))!;
    return Number(kib) / 1024;
  } catch {
    return 0;
  }
}

/** Usage so far, by part of the system, and that of the load generator itself as `bench`. */
export function usage(): Record<string, Usage> {
  const processes = new Map<number, Process>();
  for (const entry of readdirSync('/proc'))
    if (/^\d+$/.test(entry)) {
      const found = read(Number(entry));
      if (found !== undefined) processes.set(Number(entry), found);
    }
  const isOurs = (pid: number): boolean => {
    const found = processes.get(pid);
    return found !== undefined && (found.parent === process.pid || isOurs(found.parent));
  };
  const parts: Record<string, { cpuSeconds: number; residentMb: number }> = {};
  for (const [pid, { part, cpuSeconds }] of processes) {
    if (pid !== process.pid && !isOurs(pid)) continue;
    const name = pid === process.pid ? 'bench' : part;
    const sum = (parts[name] ??= { cpuSeconds: 0, residentMb: 0 });
    sum.cpuSeconds += cpuSeconds;
    sum.residentMb += residentMb(pid);
  }
  return parts;
}

const rounded = (value: number): number => Math.round(value * 100) / 100;

/** What was used between two readings; memory as it is at the second. */
export const usageBetween = (before: Record<string, Usage>, after: Record<string, Usage>): Record<string, Usage> =>
  Object.fromEntries(
    Object.entries(after).map(([part, { cpuSeconds, residentMb }]) => [
      part,
      { cpuSeconds: rounded(cpuSeconds - (before[part]?.cpuSeconds ?? 0)), residentMb: Math.round(residentMb) },
    ]),
  );
