/** Volumes, as workers know them: by UUID. A volume's file is on one node alone and outlives the domains that had it. */
import type { VolumeUuid } from './ids.js';
import type { ImageSpec } from './task.js';

export interface VolumeSpec {
  readonly uuid: VolumeUuid;
  /** It never gets smaller. */
  readonly sizeGib: number;
  /** Its file is on this node already: one that is missing is not replaced by an empty one. */
  readonly isMade?: true;
}

/** A volume that shall be made of an image. */
export interface VolumePreparation extends VolumeSpec {
  readonly image: ImageSpec;
}

/** All that QEMU shows of a virtio disk's serial number. */
const SERIAL_LENGTH = 20;

/** The serial number that the guest sees: clients look for `/dev/disk/by-id/virtio-` and this. */
export const serialOf = (uuid: VolumeUuid): string => uuid.slice(0, SERIAL_LENGTH);

/** What a worker tells when it has removed files that the answer to its heartbeat named. */
export interface RemovedVolumes {
  readonly session: number;
  readonly volumes: readonly VolumeUuid[];
}

export interface PreparedVolume {
  readonly uuid: VolumeUuid;
  /** Why it could not be made, in words fit for its owner; absent for one that is there. */
  readonly fault?: string;
}

/** What a worker tells of the volumes that the answer to its heartbeat asked it to make. */
export interface PreparedVolumes {
  readonly session: number;
  readonly volumes: readonly PreparedVolume[];
}
