/**
 * How a console of a VM comes to its owner's browser: the conductor asks for it in the answer to a heartbeat, the worker
 * opens a websocket to `compute/consoles/{console}` and waits there. When the browser has come, the conductor says
 * `BEGIN`; the worker opens the guest's console, says `BEGUN`, and from then on every frame is the console's own bytes.
 *
 * One-off and idempotent by `console`: asked again until the worker is there, and worth nothing after `seconds`.
 */
import type { IncarnationId, VmUuid } from './ids.js';

/** The screen (the RFB protocol), or the serial line (bytes as they are). */
export type ConsoleKind = 'vnc' | 'serial';

export interface ConsoleQuery {
  readonly console: number;
  readonly vmUuid: VmUuid;
  readonly incarnationId: IncarnationId;
  readonly kind: ConsoleKind;
  /** How long the conductor still waits for it. */
  readonly seconds: number;
}

export const BEGIN = 'begin';
export const BEGUN = 'begun';

/** Why a websocket of a console was closed, where no number of the protocol itself says it. */
export const CLOSED = {
  /** Over in an orderly way: its VM was stopped, a limit was reached, somebody else has taken the line. */
  ended: 4000,
  /** The node could not open the console; the reason is fit for the VM's owner. */
  failed: 4001,
} as const;

/** The most bytes that a reason of closing may have. */
export const MOST_REASON_BYTES = 123;

/** A frame that is larger is refused: either end reads and writes smaller pieces. */
export const MOST_FRAME_BYTES = 1024 * 1024;
