/**
 * How the end of a VM's serial console comes to its owner: the conductor asks for it in the answer to a heartbeat,
 * the worker sends it to `compute/console-logs/{request}`. Asked again until it was sent, so it may be sent twice.
 */
import type { IncarnationId, VmUuid } from './ids.js';

/** The most that a worker sends of one console. */
export const MOST_CONSOLE_BYTES = 65_536;

export interface ConsoleLogQuery {
  readonly request: number;
  readonly vmUuid: VmUuid;
  readonly incarnationId: IncarnationId;
}

export interface ConsoleLogAnswer {
  readonly session: number;
  readonly text: string;
}
