/**
 * Runs passes in the background, a few at a time, for whatever repository is due and not another conductor's. Woken by
 * whoever asks for one; it looks every second anyway. A pass keeps its lease by renewing it, and ends early, between two
 * actions, when the lease is lost or the conductor stops.
 */
import { Injectable, Logger, type BeforeApplicationShutdown, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { CoalescedWork } from '../../callbacks/coalesced-work.js';
import { RepositoryLeases, type LeasedRepository } from './leases.js';
import { Reconciler } from './reconciler.js';
import { LeaseLost } from './syncs.js';

const POLL_MS = 1_000;
const RENEW_MS = 10_000;
const MOST_UNDER_WAY = 4;
/** After a pass that failed in a way that nobody foresaw: the database was away. */
const MISHAP_MS = 5_000;

@Injectable()
export class GitopsWatcher implements OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown {
  private readonly logger = new Logger(GitopsWatcher.name);
  private readonly underWay = new Set<Promise<void>>();
  private readonly taking = new CoalescedWork(() => this.takeDue());
  private readonly timers = new Set<NodeJS.Timeout>();
  private poll: NodeJS.Timeout | undefined;
  private stopping = false;

  constructor(
    private readonly leases: RepositoryLeases,
    private readonly reconciler: Reconciler,
  ) {}

  onApplicationBootstrap(): void {
    this.poll = setInterval(() => this.wake(), POLL_MS);
    this.wake();
  }

  /** A pass may be due. Returns at once. */
  wake(): void {
    if (!this.stopping) this.taking.request();
  }

  onModuleDestroy(): void {
    this.stopping = true;
    clearInterval(this.poll);
    for (const timer of this.timers) clearTimeout(timer);
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.taking.settled();
    await Promise.all(this.underWay);
  }

  private async takeDue(): Promise<void> {
    const room = MOST_UNDER_WAY - this.underWay.size;
    if (room <= 0 || this.stopping) return;
    try {
      for (const repository of await this.leases.take(room)) this.begin(repository);
    } catch (error) {
      this.logger.warn(`Repositories could not be leased, trying again: ${(error as Error).message}`);
    }
  }

  private begin(repository: LeasedRepository): void {
    const pass = this.run(repository).finally(() => {
      this.underWay.delete(pass);
      this.wake();
    });
    this.underWay.add(pass);
  }

  private async run(repository: LeasedRepository): Promise<void> {
    let lost = false;
    const renewal = setInterval(() => {
      this.leases.renew(repository).then(
        (held) => void (lost ||= !held),
        () => undefined,
      );
    }, RENEW_MS);
    try {
      const nextPassMs = await this.reconciler.pass(repository, () => lost || this.stopping);
      await this.leases.giveBack(repository, nextPassMs);
      if (nextPassMs < POLL_MS) this.wakeIn(nextPassMs);
    } catch (error) {
      if (error instanceof LeaseLost) return;
      this.logger.error(`A pass over repository ${repository.id} failed: ${error instanceof Error ? error.stack : String(error)}`);
      await this.leases.giveBack(repository, MISHAP_MS).catch(() => undefined);
    } finally {
      clearInterval(renewal);
    }
  }

  private wakeIn(milliseconds: number): void {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      this.wake();
    }, milliseconds);
    this.timers.add(timer);
  }
}
