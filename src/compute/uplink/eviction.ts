/**
 * The end of a worker by the conductor's word: its name belongs to a newer process, or to nobody any more. Whoever
 * hears it first (heartbeat or report) says it here; the worker then takes no more tasks and reports nothing.
 */
import { ConductorRefusal } from './conductor-client.js';

export class Evicted extends Error {
  override readonly name = 'Evicted';
}

export function evictionIn(error: unknown, nodeName: string): Evicted | undefined {
  if (!(error instanceof ConductorRefusal)) return undefined;
  switch (error.status) {
    case 409:
      return new Evicted(
        `Another worker has registered as '${nodeName}', so this one stops. Give each worker a --name of its own.`,
      );
    case 401:
    case 403:
      return new Evicted(
        `The conductor no longer knows the key of node '${nodeName}': the node was removed. ` +
          'To let it in again, start it with a new BATON_JOIN_TOKEN.',
      );
    default:
      return undefined;
  }
}
