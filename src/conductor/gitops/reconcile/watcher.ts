/**
 * Runs passes in the background, a few at a time, for whatever repository is due and not another conductor's. Woken by
 * whoever asks for one; it looks every second anyway. A pass keeps its lease by renewing it, and ends early, between two
 * actions, when the lease is lost, the repository is paused or the conductor stops.
 */
import { Injectable, Logger, type BeforeApplicationShutdown, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { CoalescedWork } from '../../callbacks/coalesced-work.js';
import { CommitReports } from './commit-reports.js';
import { RepositoryLeases, type LeasedRepository } from './leases.js';
import { Reconciler } from './reconciler.js';
import { LeaseLost } from './syncs.js';

const POLL_MS = 1_000;
const RENEW_MS = 10_000;
/** While it acts, a pass asks that often whether it still may. */
const ASK_MS = 200;
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
    private readonly reports: CommitReports,
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
    const permission = new Permission(() => this.leases.renew(repository));
    const renewal = setInterval(() => void permission.ask(0), RENEW_MS);
    try {
      const nextPassMs = await this.reconciler.pass(repository, async () => this.stopping || !(await permission.ask(ASK_MS)));
      await this.leases.giveBack(repository, nextPassMs);
      this.reports.ended(repository);
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

/** Whether a pass may go on. What was asked a moment ago, or is being asked, is not asked again: eight actions may want to know. */
class Permission {
  private granted = true;
  private askedAt = performance.now();
  private asking: Promise<void> | undefined;

  constructor(private readonly renew: () => Promise<boolean>) {}

  /** @param freshMs how old the answer may be. A question that fails leaves it as it was: the lease ends by itself. */
  async ask(freshMs: number): Promise<boolean> {
    if (this.granted && performance.now() - this.askedAt >= freshMs) {
      this.asking ??= this.renew()
        .then(
          (held) => {
            this.granted = held;
          },
          () => undefined,
        )
        .finally(() => {
          this.askedAt = performance.now();
          this.asking = undefined;
        });
      await this.asking;
    }
    return this.granted;
  }
}
