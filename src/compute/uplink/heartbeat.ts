/**
 * The sign of life: every few seconds, what domains and snapshots the node has (only their digest, unless it changed since the last
 * answered beat).
 *
 * A beat says that this node can serve, so it is not sent on behalf of a hypervisor that does not answer: the lease
 * runs out and the node gets no new VMs. The loop itself goes on, says so in the log, and recovers by itself. At most
 * one inventory and one beat are under way at a time.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { SnapshotUuid } from '../../protocol/ids.js';
import type { ForeignDomain, Heartbeat, Inventory, InventoryItem } from '../../protocol/node.js';
import { evictionIn } from './eviction.js';

export interface HeartbeatOptions {
  readonly session: number;
  readonly nodeName: string;
  readonly everySeconds: number;
  /** For the inventory and for the beat itself; the lease must outlast both. */
  readonly timeLimitMs: number;
  readonly inventory: () => Promise<Inventory>;
  readonly snapshots: () => Promise<readonly SnapshotUuid[]>;
  readonly send: (beat: Heartbeat, signal: AbortSignal) => Promise<void>;
  readonly logger: Logger;
  readonly onEvicted: (reason: Error) => void;
}

export class HeartbeatLoop {
  private readonly stopping = new AbortController();
  private answeredDigest: string | undefined;
  private slowInventory: Promise<Inventory> | undefined;
  private failures = 0;
  private running: Promise<void> = Promise.resolve();

  constructor(private readonly options: HeartbeatOptions) {}

  start(): void {
    this.running = this.run();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      const began = Date.now();
      await this.beat();
      const pause = Math.max(0, this.options.everySeconds * 1000 - (Date.now() - began));
      await sleep(pause, undefined, { signal }).catch(() => undefined);
    }
  }

  private async beat(): Promise<void> {
    try {
      const { domains, foreign: others, sequence } = await this.inventoryInTime();
      const [inventory, foreign] = [sorted(domains), sortedForeign(others)];
      const snapshots = [...(await this.options.snapshots())].sort();
      const inventoryDigest = createHash('sha256').update(JSON.stringify([inventory, snapshots, foreign])).digest('hex');
      const changed = inventoryDigest !== this.answeredDigest;
      const beat = { session: this.options.session, inventoryDigest, sequence, ...(changed && { inventory, snapshots, foreign }) };
      await this.options.send(beat, AbortSignal.any([this.stopping.signal, AbortSignal.timeout(this.options.timeLimitMs)]));
      this.answeredDigest = inventoryDigest;
      if (this.failures > 0) this.options.logger.info({ missed: this.failures }, 'the heartbeat is back');
      this.failures = 0;
    } catch (error) {
      if (!this.stopping.signal.aborted) this.missed(error as Error);
    }
  }

  private missed(error: Error): void {
    const eviction = evictionIn(error, this.options.nodeName);
    if (eviction) {
      this.stopping.abort();
      return this.options.onEvicted(eviction);
    }
    // The first, second, fourth, eighth …: an outage is told of without filling the log.
    if (Number.isInteger(Math.log2(++this.failures)))
      this.options.logger.error({ problem: error.message, missed: this.failures }, 'no heartbeat could be sent');
  }

  private async inventoryInTime(): Promise<Inventory> {
    this.slowInventory ??= this.options.inventory().finally(() => (this.slowInventory = undefined));
    const over = new AbortController();
    const timeout = sleep(this.options.timeLimitMs, undefined, { signal: AbortSignal.any([over.signal, this.stopping.signal]) });
    try {
      return await Promise.race([this.slowInventory, timeout.then(() => this.hypervisorHangs())]);
    } finally {
      timeout.catch(() => undefined);
      over.abort();
    }
  }

  private hypervisorHangs(): never {
    throw new Error(
      `the hypervisor has not listed its domains for ${this.options.timeLimitMs / 1000} s; is it hung? ` +
        'Without a heartbeat this node gets no new VMs',
    );
  }
}

/** In one order and with one order of fields, so that equal inventories have equal digests. */
function sorted(inventory: readonly InventoryItem[]): InventoryItem[] {
  return inventory
    .map(({ vmUuid, incarnationId, state, paused, shutDown, diskMissing }) => ({
      vmUuid,
      incarnationId,
      state,
      ...(paused && { paused }),
      ...(shutDown && { shutDown }),
      ...(diskMissing && { diskMissing }),
    }))
    .sort((a, b) => (a.vmUuid < b.vmUuid ? -1 : a.vmUuid > b.vmUuid ? 1 : a.incarnationId - b.incarnationId));
}

const sortedForeign = (foreign: readonly ForeignDomain[]): ForeignDomain[] =>
  foreign.map(({ uuid, name }) => ({ uuid, name })).sort((a, b) => (a.uuid < b.uuid ? -1 : 1));
