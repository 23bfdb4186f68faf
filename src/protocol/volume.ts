/** Volumes, as workers know them: by UUID. A volume's file is on one node alone and outlives the domains that had it. */
import type { VolumeUuid } from './ids.js';

export interface VolumeSpec {
  readonly uuid: VolumeUuid;
  readonly sizeGib: number;
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
