/**
 * Requests that arrive while others are being inserted share the next statement. Statements that claim on the same
 * node wait for each other's commit anyway; sharing one turns that queue into a batch with one lock and one flush to
 * disk. A lone request is inserted at once.
 *
 * Requests do not share each other's failures: when a shared statement is refused, each is tried alone.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { insertVms, type VmInsertion } from './vm-insertion.js';

const MOST_REQUESTS = 64;

interface Waiting {
  readonly insertion: VmInsertion;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

@Injectable()
export class VmInsertionQueue {
  private waiting: Waiting[] = [];
  private busy = false;

  constructor(private readonly dataSource: DataSource) {}

  /** Resolves after the commit. @throws what `insertVms` throws for this request alone. */
  insert(insertion: VmInsertion): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ insertion, resolve, reject });
      if (!this.busy) void this.drain();
    });
  }

  private async drain(): Promise<void> {
    this.busy = true;
    while (this.waiting.length > 0) await this.insertTogether(this.waiting.splice(0, MOST_REQUESTS));
    this.busy = false;
  }

  private async insertTogether(batch: readonly Waiting[]): Promise<void> {
    try {
      await insertVms(
        this.dataSource,
        batch.map(({ insertion }) => insertion),
      );
      for (const { resolve } of batch) resolve();
    } catch (error) {
      if (batch.length === 1) return batch[0]!.reject(error);
      for (const alone of batch) await this.insertTogether([alone]);
    }
  }
}
