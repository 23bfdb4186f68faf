/**
 * The worker's right to run guests that another node may be given: it lasts for a term from the moment the last answered
 * sign of life was *sent*, so it always ends before the conductor can believe that it has ended.
 *
 * Time is that since the boot of the host, time asleep included, and the same in all of its processes; no clock that
 * somebody may set. The end of the lease is in a file, which the watchdog process reads: a worker that is frozen cannot
 * hold it up. A lease that has run out is never renewed, only begun anew by a registration; what the watchdog did
 * meanwhile would be overlooked otherwise.
 */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { uptime } from 'node:os';
import { join } from 'node:path';

/** Milliseconds since the host was booted. */
export const bootClock = (): number => uptime() * 1000;

export interface LeaseRecord {
  /** By the boot clock. */
  readonly until: number;
  /** The one watchdog that is to look after it; any other ends. */
  readonly watchdog: string;
  /** Process id of the worker. */
  readonly worker: number;
}

export class LeaseLost extends Error {
  override readonly name = 'LeaseLost';

  constructor() {
    super('The node has not been heard by a conductor for so long that its VMs may run elsewhere; nothing is started.');
  }
}

export class Lease {
  /** A conductor that names no term starts no VM elsewhere. */
  private termMs = Infinity;
  private until = -Infinity;
  private watchdog: string | undefined;

  constructor(
    private readonly folder: string,
    private readonly clock: () => number = bootClock,
  ) {}

  now(): number {
    return this.clock();
  }

  get held(): boolean {
    return this.clock() < this.until;
  }

  /** @throws LeaseLost */
  assertHeld(): void {
    if (!this.held) throw new LeaseLost();
  }

  /** By a registration that was sent at `sentAt` and accepted. */
  begin(sentAt: number, termSeconds: number | undefined): void {
    rmSync(fencedFile(this.folder), { force: true });
    this.termMs = termSeconds === undefined ? Infinity : termSeconds * 1000;
    this.extend(sentAt);
  }

  /** By a sign of life that was sent at `sentAt` and answered. @returns whether the lease is held. */
  renew(sentAt: number): boolean {
    if (!this.held || existsSync(fencedFile(this.folder))) this.until = -Infinity;
    else this.extend(sentAt);
    return this.held;
  }

  /** Names the watchdog that looks after the lease from now on. */
  entrust(watchdog: string): void {
    this.watchdog = watchdog;
    this.write();
  }

  private extend(sentAt: number): void {
    this.until = Math.max(this.until, sentAt + this.termMs);
    this.write();
  }

  private write(): void {
    if (this.watchdog === undefined) return;
    const until = Number.isFinite(this.until) ? this.until : Number.MAX_SAFE_INTEGER;
    const record: LeaseRecord = { until, watchdog: this.watchdog, worker: process.pid };
    const file = leaseFile(this.folder);
    writeFileSync(`${file}.new`, JSON.stringify(record));
    renameSync(`${file}.new`, file);
  }
}

export const leaseFile = (folder: string): string => join(folder, 'lease.json');

/** There while, and after, the watchdog has stopped guests. */
export const fencedFile = (folder: string): string => join(folder, 'fenced');

/** @returns undefined when there is none (any more). */
export function readLease(folder: string): LeaseRecord | undefined {
  try {
    return JSON.parse(readFileSync(leaseFile(folder), 'utf8')) as LeaseRecord;
  } catch {
    return undefined;
  }
}
