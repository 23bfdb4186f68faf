/**
 * Removes the files of deleted snapshots, as the answers to heartbeats ask for it, and tells when they are gone. The
 * heartbeat never waits for it.
 *
 * What could not be removed, or not be told, is asked for again with the next heartbeat: so nothing is remembered here
 * but what is in hand, lest one file be removed twice at the same time.
 */
import type { Logger } from 'pino';
import type { SnapshotUuid } from '../../protocol/ids.js';

export interface SnapshotRemovalPorts {
  readonly remove: (uuid: SnapshotUuid) => Promise<void>;
  readonly confirm: (uuid: SnapshotUuid) => Promise<void>;
  readonly logger: Logger;
}

export class SnapshotRemoval {
  private readonly inHand = new Set<SnapshotUuid>();

  constructor(private readonly ports: SnapshotRemovalPorts) {}

  asked(snapshots: readonly SnapshotUuid[]): void {
    for (const uuid of snapshots) {
      if (this.inHand.has(uuid)) continue;
      this.inHand.add(uuid);
      void this.carryOut(uuid).finally(() => this.inHand.delete(uuid));
    }
  }

  private async carryOut(uuid: SnapshotUuid): Promise<void> {
    const { remove, confirm, logger } = this.ports;
    try {
      await remove(uuid);
      await confirm(uuid);
      logger.info({ snapshot: uuid }, 'removed a snapshot');
    } catch (error) {
      logger.warn({ err: error, snapshot: uuid }, 'a snapshot could not be removed; it will be asked for again');
    }
  }
}
