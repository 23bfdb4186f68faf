/**
 * How a process ends in order. Whatever is started registers how it is stopped; the last started is stopped first,
 * on SIGINT or SIGTERM and on a failed start alike, even when the signal comes in the middle of starting. A second
 * signal ends the process at once, and so does a stop that takes too long.
 */
const PATIENCE_MS = 30_000;
const KILLED_BY_SIGINT = 130;

type Stop = () => Promise<void>;

export class Shutdown {
  private readonly stops: { what: string; stop: Stop }[] = [];
  private readonly aborted = new AbortController();

  /** @param complain where a part that does not stop in order is told of. */
  constructor(private readonly complain: (message: string) => void) {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => this.onSignal());
  }

  /** For whoever waits for something that a stop makes pointless. */
  get signal(): AbortSignal {
    return this.aborted.signal;
  }

  get underWay(): boolean {
    return this.aborted.signal.aborted;
  }

  async afterwards(what: string, stop: Stop): Promise<void> {
    this.stops.push({ what, stop });
    // Started while everything else was being stopped already.
    if (this.underWay) await this.stopAll();
  }

  async stopAll(): Promise<void> {
    this.aborted.abort();
    for (let part = this.stops.pop(); part; part = this.stops.pop()) {
      const { what, stop } = part;
      await stop().catch((error: unknown) => this.complain(`${what} did not stop in order: ${String(error)}`));
    }
  }

  /** What a signal has to show for itself: an exit code that somebody set before it is kept. */
  private onSignal(): void {
    if (this.underWay) process.exit(KILLED_BY_SIGINT);
    setTimeout(() => {
      this.complain(`Not everything stopped within ${PATIENCE_MS / 1000} s; ending all the same.`);
      process.exit(1);
    }, PATIENCE_MS).unref();
    void this.stopAll().then(() => process.exit());
  }
}
