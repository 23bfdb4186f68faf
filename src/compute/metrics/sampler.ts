/**
 * Samples of what the node's guests use: reads the hypervisor's counters once in each interval and sends the differences,
 * in one message for all guests.
 *
 * The race it excludes: an amount that is lost or counted twice because a message was. A batch that was not answered is
 * sent again as it is, before anything new, and until then nothing new is read: the next difference then spans the gap.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { MOST_SAMPLES, type SampleBatch, type VmSample } from '../../protocol/metrics.js';
import type { GuestCounters } from '../hypervisor/hypervisor.js';

export interface SamplerOptions {
  readonly session: number;
  readonly everySeconds: number;
  readonly read: () => Promise<readonly GuestCounters[]>;
  readonly send: (batch: SampleBatch) => Promise<void>;
  readonly logger: Logger;
}

type Counter = 'cpuNs' | 'diskReadBytes' | 'diskWriteBytes' | 'networkInBytes' | 'networkOutBytes';

export class Sampler {
  private before = new Map<string, GuestCounters>();
  private unanswered: SampleBatch | undefined;
  private batches = 0;
  private readonly stopping = new AbortController();
  private running: Promise<void> = Promise.resolve();

  constructor(private readonly options: SamplerOptions) {}

  start(): void {
    this.running = this.run();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  /** One interval's work. */
  async sample(): Promise<void> {
    try {
      if (this.unanswered === undefined) this.unanswered = this.batchOf(await this.options.read());
      if (this.unanswered.samples.length > 0) await this.options.send(this.unanswered);
      this.unanswered = undefined;
    } catch (error) {
      this.options.logger.warn({ problem: (error as Error).message }, 'the metrics of this interval were not sent');
    }
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    // The first reading is what the second is compared with.
    while (!signal.aborted) {
      await this.unlessStopped(this.sample());
      await sleep(this.options.everySeconds * 1000, undefined, { signal }).catch(() => undefined);
    }
  }

  /** A hypervisor that does not answer holds up no stop. */
  private async unlessStopped(work: Promise<void>): Promise<void> {
    const over = new AbortController();
    const stopped = new Promise<void>((resolve) => {
      this.stopping.signal.addEventListener('abort', () => resolve(), { once: true, signal: over.signal });
    });
    await Promise.race([work, stopped]).finally(() => over.abort());
  }

  private batchOf(counters: readonly GuestCounters[]): SampleBatch {
    const samples = counters.flatMap((now) => differences(this.before.get(keyOf(now)), now) ?? []).slice(0, MOST_SAMPLES);
    this.before = new Map(counters.map((now) => [keyOf(now), now]));
    return { session: this.options.session, batch: ++this.batches, samples };
  }
}

const keyOf = ({ vmUuid, incarnationId }: GuestCounters): string => `${vmUuid}.${incarnationId}`;

/** Undefined for the first reading. A counter that is smaller than it was began anew when the guest was started. */
function differences(before: GuestCounters | undefined, now: GuestCounters): VmSample | undefined {
  if (before === undefined) return undefined;
  const restarted = now.cpuNs < before.cpuNs;
  const used = (counter: Counter): number =>
    Math.round(restarted || now[counter] < before[counter] ? now[counter] : now[counter] - before[counter]);
  return {
    vmUuid: now.vmUuid,
    incarnationId: now.incarnationId,
    memoryMib: Math.round(now.memoryMib),
    cpuNs: used('cpuNs'),
    diskReadBytes: used('diskReadBytes'),
    diskWriteBytes: used('diskWriteBytes'),
    networkInBytes: used('networkInBytes'),
    networkOutBytes: used('networkOutBytes'),
  };
}
