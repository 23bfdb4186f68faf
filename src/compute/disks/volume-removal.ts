/**
 * Removes the files of deleted volumes, as the answers to heartbeats ask for it, and tells when they are gone. The
 * heartbeat never waits for it.
 *
 * What could not be removed, or not be told, is asked for again with the next heartbeat: so nothing is remembered here
 * but what is in hand, lest one file be removed twice at the same time.
 */
import type { Logger } from 'pino';
import type { VolumeUuid } from '../../protocol/ids.js';

export interface VolumeRemovalPorts {
  readonly remove: (uuid: VolumeUuid) => Promise<void>;
  readonly confirm: (volumes: readonly VolumeUuid[]) => Promise<void>;
  readonly logger: Logger;
}

export class VolumeRemoval {
  private readonly inHand = new Set<VolumeUuid>();

  constructor(private readonly ports: VolumeRemovalPorts) {}

  asked(volumes: readonly VolumeUuid[]): void {
    for (const uuid of volumes) {
      if (this.inHand.has(uuid)) continue;
      this.inHand.add(uuid);
      void this.carryOut(uuid).finally(() => this.inHand.delete(uuid));
    }
  }

  private async carryOut(uuid: VolumeUuid): Promise<void> {
    const { remove, confirm, logger } = this.ports;
    try {
      await remove(uuid);
      await confirm([uuid]);
      logger.info({ volume: uuid }, 'removed a volume');
    } catch (error) {
      logger.warn({ err: error, volume: uuid }, 'a volume could not be removed; it will be asked for again');
    }
  }
}
