/**
 * Carries reports to the conductor: many in one request, one request at a time, so that they arrive in the order of
 * their sequence. While a request is under way the next batch gathers; that is all the batching there is, and an idle
 * worker's report leaves at once.
 *
 * A report is never lost while the process lives: an unreachable conductor is tried for ever. A batch holds at most
 * one report of an incarnation, so that a batch repeated because its answer got lost cannot meet its own later report
 * and be taken for stale.
 */
import type { Logger } from 'pino';
import type { IncarnationId } from '../../protocol/ids.js';
import type { ReportBatch, ReportBatchAnswer, ReportVerdict, VmReport } from '../../protocol/report.js';
import { persistently } from '../retry.js';
import { ConductorUnreachable } from './conductor-client.js';
import { evictionIn } from './eviction.js';

const MOST_IN_A_BATCH = 200;

export type ReportDraft = Omit<VmReport, 'sequence'>;

interface Waiting {
  readonly report: VmReport;
  readonly resolve: (verdict: ReportVerdict) => void;
  readonly reject: (error: unknown) => void;
}

export interface ReporterOptions {
  readonly send: (batch: ReportBatch) => Promise<ReportBatchAnswer>;
  readonly session: number;
  readonly nodeName: string;
  readonly logger: Logger;
  readonly onEvicted: (reason: Error) => void;
}

export class Reporter {
  private counter = 0;
  private waiting: Waiting[] = [];
  private sending: Promise<void> | undefined;
  private readonly stopped = new AbortController();

  constructor(private readonly options: ReporterOptions) {}

  /** The sequence of the last report that was made, whether it has arrived or not. */
  get lastSequence(): number {
    return this.options.session * 2 ** 32 + this.counter;
  }

  /** Resolves with the conductor's verdict. @throws when the worker is stopped or evicted before there is one. */
  report(draft: ReportDraft): Promise<ReportVerdict> {
    this.counter++;
    const sequence = this.lastSequence;
    return new Promise((resolve, reject) => {
      if (this.stopped.signal.aborted) return reject(this.stopped.signal.reason as Error);
      this.waiting.push({ report: { ...draft, sequence }, resolve, reject });
      this.sending ??= this.sendAll();
    });
  }

  /** Waits until everything reported so far has its verdict, or is given up by `stop`. */
  async flushed(): Promise<void> {
    while (this.sending) await this.sending;
  }

  stop(reason: Error): void {
    this.stopped.abort(reason);
  }

  private async sendAll(): Promise<void> {
    // The turn of the event loop that brought this report may bring more.
    await new Promise(setImmediate);
    while (this.waiting.length > 0) await this.sendOne(this.takeBatch());
    this.sending = undefined;
  }

  private takeBatch(): Waiting[] {
    const batch: Waiting[] = [];
    const later: Waiting[] = [];
    const incarnations = new Set<IncarnationId>();
    for (const item of this.waiting) {
      const { incarnationId } = item.report;
      if (batch.length === MOST_IN_A_BATCH || incarnations.has(incarnationId)) later.push(item);
      else batch.push(item);
      incarnations.add(incarnationId);
    }
    this.waiting = later;
    return batch;
  }

  private async sendOne(batch: readonly Waiting[]): Promise<void> {
    const { send, session, logger } = this.options;
    try {
      const { verdicts } = await persistently(() => send({ session, reports: batch.map(({ report }) => report) }), {
        what: 'reporting to the conductor',
        isPassing: (error) => error instanceof ConductorUnreachable,
        signal: this.stopped.signal,
        logger,
      });
      if (verdicts?.length !== batch.length) throw new Error('The conductor did not answer each report.');
      batch.forEach(({ resolve }, position) => resolve(verdicts[position]!));
    } catch (error) {
      const eviction = evictionIn(error, this.options.nodeName);
      if (eviction) {
        this.stop(eviction);
        this.options.onEvicted(eviction);
      }
      for (const { reject } of batch) reject(this.stopped.signal.aborted ? this.stopped.signal.reason : error);
    }
  }
}
