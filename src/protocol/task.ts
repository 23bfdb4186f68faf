/**
 * What the conductor asks of a compute worker, over the task bus.
 *
 * A task is a level, not an edge: it carries the whole desired state of one VM and a generation. Converging twice is
 * harmless and the newest generation wins, so a message may be lost, repeated, late or out of order.
 */
import type { IncarnationId, SnapshotUuid, TaskId, VmId, VmUuid } from './ids.js';
import type { NetworkSpec } from './network.js';
import type { SecurityRuleSpec } from './security-rule.js';
import type { SnapshotSpec } from './snapshot.js';
import type { VolumeSpec } from './volume.js';

/** Raised when a field changes its meaning; new optional fields do not raise it. */
export const PROTOCOL_VERSION = 2;

/** What a worker may speak with this conductor: the present version and, from 3 on, the one before. */
export const SERVED_PROTOCOLS: readonly number[] = [PROTOCOL_VERSION];

/**
 * What the VM's power shall be. `hibernated`: off, with the guest's memory kept on the node, so that it uses no CPU, no
 * memory and no GPU there. `absent` removes the domain and everything it owned on the node.
 */
export type DesiredPower = 'running' | 'stopped' | 'hibernated' | 'absent';

/** One downloadable file of an image. A relative `url` is resolved against the conductor and fetched with the node's key. */
export interface ImageFile {
  readonly url: string;
  /** Hex digest of the whole file: the name it has in the node's cache. */
  readonly sha256: string;
}

/** The copy that a snapshot made: only the node that took it has the file. */
export interface SnapshotDisk {
  readonly snapshot: SnapshotUuid;
  readonly format: 'qcow2';
}

export interface ImageSpec {
  readonly name: string;
  readonly disk: (ImageFile & { readonly format: 'qcow2' | 'raw' }) | SnapshotDisk;
  /** Direct kernel boot, where the image brings its kernel beside the disk. */
  readonly kernel?: ImageFile;
  readonly initrd?: ImageFile;
  readonly kernelArguments?: string;
}

export interface GpuSpec {
  readonly model: string;
  readonly count: number;
}

/** What the VM consists of; user data and keys travel by the metadata service instead. */
export interface VmHardware {
  readonly vcpus: number;
  readonly memoryMib: number;
  /** Size of the root disk, zero where it is a volume; the overlay never gets smaller than its base image. */
  readonly diskGib: number;
  readonly gpu?: GpuSpec;
  readonly image: ImageSpec;
  readonly network: NetworkSpec;
  /** Boots from this volume in place of a disk of its own; made of `image` where it is not there yet. */
  readonly rootVolume?: VolumeSpec;
  /** All that are attached beside that; absent where none ever was. */
  readonly volumes?: readonly VolumeSpec[];
  /** Public address that the node maps 1:1 to the VM's fixed address. */
  readonly floatingIp?: string;
  /** All that may pass; absent from conductors before security rules, and then `DEFAULT_RULES` hold. */
  readonly rules?: readonly SecurityRuleSpec[];
  /** How often its owner has asked for a hard reboot: a domain that was reset less often is reset. */
  readonly resets?: number;
  /** One that is to be taken; absent as soon as the conductor knows what came of it. */
  readonly snapshot?: SnapshotSpec;
  /** How often its flavor was changed: a domain that was made before the last time is stopped and made anew. */
  readonly resizes?: number;
  /** Started on another node when its own is lost, so it must not run there without the node's lease. */
  readonly autoRecover?: true;
}

/** Everything a worker needs to know to make a VM. */
export interface VmSpec extends VmHardware {
  readonly name: string;
  readonly power: DesiredPower;
  /** It has its disk on this node already: one that is missing is not replaced by an empty one. */
  readonly hasDisk?: true;
}

/** The message in a node's queue. */
export interface ConvergeTask {
  readonly version: typeof PROTOCOL_VERSION;
  readonly taskId: TaskId;
  readonly vmId: VmId;
  readonly vmUuid: VmUuid;
  readonly incarnationId: IncarnationId;
  /** Raised by one with every change of the desired state of the VM. */
  readonly generation: number;
  readonly spec: VmSpec;
}
