/**
 * What the answers to heartbeats ask of this node about volumes that are with no VM: to make one of its image, to remove
 * the file of one that was deleted. Each is told when it is done; the heartbeat never waits for it.
 *
 * What could not be done for now, or not be told, is asked for again with the next heartbeat: so nothing is remembered
 * here but what is in hand. Of one volume one thing is in hand at a time: a file that is being made is not removed
 * before it is there, or it would be left behind.
 */
import type { Logger } from 'pino';
import type { VolumeUuid } from '../../protocol/ids.js';
import type { PreparedVolume, VolumePreparation } from '../../protocol/volume.js';
import { HypervisorError } from '../hypervisor/hypervisor.js';

export interface VolumeChorePorts {
  readonly prepare: (volume: VolumePreparation) => Promise<void>;
  readonly confirmPrepared: (volume: PreparedVolume) => Promise<void>;
  readonly remove: (uuid: VolumeUuid) => Promise<void>;
  readonly confirmRemoved: (uuid: VolumeUuid) => Promise<void>;
  readonly logger: Logger;
}

export class VolumeChores {
  private readonly inHand = new Set<VolumeUuid>();

  constructor(private readonly ports: VolumeChorePorts) {}

  askedToPrepare(volumes: readonly VolumePreparation[]): void {
    for (const volume of volumes) this.takeUp(volume.uuid, () => this.prepare(volume));
  }

  askedToRemove(volumes: readonly VolumeUuid[]): void {
    for (const uuid of volumes) this.takeUp(uuid, () => this.remove(uuid));
  }

  private takeUp(uuid: VolumeUuid, chore: () => Promise<string>): void {
    if (this.inHand.has(uuid)) return;
    this.inHand.add(uuid);
    const { logger } = this.ports;
    void chore()
      .then((done) => logger.info({ volume: uuid }, done))
      .catch((error: unknown) => logger.warn({ err: error, volume: uuid }, 'a volume is not as it shall be; it will be asked for again'))
      .finally(() => this.inHand.delete(uuid));
  }

  private async prepare(volume: VolumePreparation): Promise<string> {
    const { uuid } = volume;
    try {
      await this.ports.prepare(volume);
    } catch (error) {
      // What passes is tried again with the next heartbeat.
      if (!(error instanceof HypervisorError) || error.retryable) throw error;
      await this.ports.confirmPrepared({ uuid, fault: error.message });
      return `a volume cannot be made: ${error.message}`;
    }
    await this.ports.confirmPrepared({ uuid });
    return 'made a volume of an image';
  }

  private async remove(uuid: VolumeUuid): Promise<string> {
    await this.ports.remove(uuid);
    await this.ports.confirmRemoved(uuid);
    return 'removed a volume';
  }
}
