/**
 * Reads the consoles that the conductor asks for and sends them. It is asked again with each heartbeat until an answer
 * arrived, so a failure is only told in the log; and a console that is being read is not begun a second time.
 */
import type { Logger } from 'pino';
import { MOST_CONSOLE_BYTES, type ConsoleLogQuery } from '../../protocol/console-log.js';
import type { DomainIdentity } from '../hypervisor/hypervisor.js';

export interface ConsoleReaderOptions {
  readonly read: (identity: DomainIdentity, bytes: number) => Promise<Buffer>;
  readonly send: (request: number, text: string) => Promise<void>;
  readonly logger: Logger;
}

export class ConsoleReader {
  private readonly underWay = new Map<number, Promise<void>>();

  constructor(private readonly options: ConsoleReaderOptions) {}

  asked(queries: readonly ConsoleLogQuery[]): void {
    for (const query of queries) {
      const { request } = query;
      if (!this.underWay.has(request))
        this.underWay.set(request, this.answer(query).finally(() => this.underWay.delete(request)));
    }
  }

  /** Resolves when nothing is being read or sent any more. */
  async idle(): Promise<void> {
    while (this.underWay.size > 0) await Promise.all(this.underWay.values());
  }

  private async answer({ request, vmUuid, incarnationId }: ConsoleLogQuery): Promise<void> {
    const { read, send, logger } = this.options;
    try {
      await send(request, textOf(await read({ vmUuid, incarnationId }, MOST_CONSOLE_BYTES)));
    } catch (error) {
      logger.warn({ vm: vmUuid, problem: (error as Error).message }, 'a console log was not sent');
    }
  }
}

/** Bytes that are no UTF-8 become U+FFFD; the rest of a character that the cut went through is left out. */
function textOf(bytes: Buffer): string {
  let start = 0;
  if (bytes.length === MOST_CONSOLE_BYTES) while (start < 3 && (bytes[start]! & 0xc0) === 0x80) start++;
  return bytes.toString('utf8', start);
}
