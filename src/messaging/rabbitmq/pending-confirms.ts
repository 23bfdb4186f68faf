/**
 * The publishes that wait for the broker's word. Owns the correlation of `basic.return` with `basic.ack` (the return
 * of an unroutable message arrives before its confirm) and the deadline of each. Every publish gets exactly one
 * outcome: a late confirm after a deadline or a lost channel finds nothing here and is ignored.
 */
import type { PublishOutcome } from '../task-bus.js';

const SWEEP_INTERVAL_MS = 1_000;

interface Pending {
  readonly deadline: number;
  readonly resolve: (outcome: PublishOutcome) => void;
  readonly reject: (error: Error) => void;
  returned: boolean;
}

export class PendingConfirms {
  /** In the order of publishing, which is the order of the deadlines: one sweep instead of a timer per message. */
  private readonly pending = new Map<string, Pending>();
  private readonly sweeper: NodeJS.Timeout;
  private counter = 0;

  constructor(private readonly timeoutMs: number) {
    this.sweeper = setInterval(() => this.sweep(), SWEEP_INTERVAL_MS).unref();
  }

  /** Calls `send` with the id the message must carry as its correlation id. */
  add(send: (id: string) => void): Promise<PublishOutcome> {
    return new Promise((resolve, reject) => {
      const id = String(++this.counter);
      this.pending.set(id, { deadline: Date.now() + this.timeoutMs, resolve, reject, returned: false });
      try {
        send(id);
      } catch (error) {
        this.settle(id)?.reject(error as Error);
      }
    });
  }

  returned(id: string): void {
    const pending = this.pending.get(id);
    if (pending) pending.returned = true;
  }

  confirmed(id: string, refusal: Error | null): void {
    const pending = this.settle(id);
    if (refusal) pending?.reject(refusal);
    else pending?.resolve(pending.returned ? 'unroutable' : 'confirmed');
  }

  failAll(reason: Error): void {
    const lost = [...this.pending.values()];
    this.pending.clear();
    for (const pending of lost) pending.reject(reason);
  }

  close(): void {
    clearInterval(this.sweeper);
  }

  private settle(id: string): Pending | undefined {
    const pending = this.pending.get(id);
    this.pending.delete(id);
    return pending;
  }

  private sweep(): void {
    const now = Date.now();
    for (const [id, pending] of this.pending) {
      if (pending.deadline > now) return;
      this.pending.delete(id);
      pending.reject(new Error(`RabbitMQ did not confirm the message within ${this.timeoutMs / 1000} s`));
    }
  }
}
