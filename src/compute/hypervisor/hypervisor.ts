/**
 * The hypervisor port: what a compute worker asks of the host. Two adapters: `libvirt/` (real guests) and
 * `simulated/` (no guests; for tests, benches and hosts without virtualization).
 *
 * Every call looks first, then does, so that each may be repeated after a crash at any point. A call that cannot do
 * its work throws `HypervisorError` and leaves nothing half made that a later `remove` would not find. Domains that
 * Baton did not make are never touched, and listed by `foreignDomains` alone.
 */
import type { Duplex } from 'node:stream';
import type { ConsoleKind } from '../../protocol/console.js';
import type { ForeignDomain, InventoryItem, NodeCapacity } from '../../protocol/node.js';
import type { IncarnationId, SnapshotUuid, VmUuid, VolumeUuid } from '../../protocol/ids.js';
import type { FailureCause } from '../../protocol/report.js';
import type { ImageOrder } from '../../protocol/image.js';
import type { VmSpec } from '../../protocol/task.js';
import type { VolumePreparation, VolumeSpec } from '../../protocol/volume.js';
import type { CheckedImage } from '../images/image-cache.js';

export interface DomainIdentity {
  readonly vmUuid: VmUuid;
  readonly incarnationId: IncarnationId;
}

export interface PowerChange extends DomainIdentity {
  readonly state: InventoryItem['state'];
  /** Of one that is stopped: its guest switched it off. */
  readonly shutDown?: true;
}

/** What a running guest has used since it was started. */
export interface GuestCounters extends DomainIdentity {
  readonly cpuNs: number;
  /** In use at this moment, in MiB. */
  readonly memoryMib: number;
  readonly diskReadBytes: number;
  readonly diskWriteBytes: number;
  readonly networkInBytes: number;
  readonly networkOutBytes: number;
}

/** What a guest asks for its metadata by. */
export interface MetadataSeed {
  readonly vmUuid: VmUuid;
  readonly token: string;
}

export interface Hypervisor {
  readonly name: 'libvirt' | 'simulated';
  readonly acceleration: 'kvm' | 'tcg' | 'none';

  /** Connects and prepares the host: network, folders. @throws HypervisorError with what to do about it. */
  open(): Promise<void>;
  /** Lets go of the connection; domains go on running. */
  close(): Promise<void>;

  capacity(): Promise<NodeCapacity>;

  /** Every domain of ours on this node, whatever its state. */
  inventory(): Promise<readonly InventoryItem[]>;
  /** Every domain of the host that Baton did not make, as far as it can be seen from here. */
  foreignDomains(): Promise<readonly ForeignDomain[]>;

  /** The domain's state, or undefined when there is none. A domain of another incarnation of the VM counts as none. */
  state(identity: DomainIdentity): Promise<InventoryItem['state'] | undefined>;

  /**
   * Makes disk, place on the environment's network and domain, without starting it. Repeating it keeps the disk's content.
   * `metadataToken` goes into the guest's data-source URL.
   * @throws HypervisorError when it `hasDisk` and the disk is not there.
   */
  define(identity: DomainIdentity, spec: VmSpec, metadataToken: string): Promise<void>;

  /** Whether the domain was made before the last change of its flavor: it has to be stopped and defined again. */
  isOutgrown(identity: DomainIdentity, spec: VmSpec): Promise<boolean>;

  /** Powers on; one that is hibernated goes on where it stopped, with the hardware it had; nothing if it runs. */
  start(identity: DomainIdentity): Promise<void>;
  /** A guest that was paused goes on; nothing if it is not. */
  resume(identity: DomainIdentity): Promise<void>;

  /**
   * Powers off and keeps the guest's memory beside its disk; nothing if it is off. A guest whose devices cannot be
   * saved (GPUs) is stopped instead, and its GPUs are free for others.
   */
  hibernate(identity: DomainIdentity): Promise<void>;

  /** ACPI first, then off after the time limit; drops the memory of a hibernated one; nothing if it is off. */
  stop(identity: DomainIdentity): Promise<void>;

  /** Puts floating address and security rules of the specification into force, whether the guest runs or not. */
  changeNetwork(identity: DomainIdentity, spec: VmSpec): Promise<void>;

  /**
   * Resets a running guest, unless its domain was already reset `times` times. A domain that was started after it was
   * defined with as many `resets` in its specification counts as reset.
   */
  reset(identity: DomainIdentity, times: number): Promise<void>;

  /**
   * Gives the domain exactly these volumes beside the one that it boots from, whether it runs or not, each at least as
   * large as is said. One that has no file on this node yet gets an empty one; what is taken away keeps its file. The
   * guest of a running domain has let go of what was taken away, and sees at once what has grown.
   */
  setVolumes(identity: DomainIdentity, volumes: readonly VolumeSpec[], root?: VolumeSpec): Promise<void>;

  /** Makes the file of a volume of an image; nothing where it is there. @throws HypervisorError when the image does not fit. */
  prepareVolume(volume: VolumePreparation): Promise<void>;

  /** Removes the file of a volume that no domain has. None there is success too. */
  removeVolume(uuid: VolumeUuid): Promise<void>;

  /**
   * Copies the root disk as it is at one moment, of a domain that runs or is off, into a file of its own; one that runs
   * goes on running. A copy that is there is never made anew.
   * @returns what the copy takes of the node's disk.
   */
  takeSnapshot(identity: DomainIdentity, uuid: SnapshotUuid): Promise<{ sizeBytes: number }>;

  /** The snapshots whose copies are on this node, complete. */
  snapshots(): Promise<readonly SnapshotUuid[]>;

  /** Removes the copy and what there is of one half made. VMs that were made of it keep what they have. */
  removeSnapshot(uuid: SnapshotUuid): Promise<void>;

  /** Powers off and removes domain, disk, address, console log. Nothing left is success too. */
  remove(identity: DomainIdentity): Promise<void>;

  /**
   * The last bytes of what the guest wrote on its serial console, from before a restart too; empty when there is no
   * such domain.
   */
  consoleLog(identity: DomainIdentity, bytes: number): Promise<Buffer>;

  /**
   * Downloads an image that nobody has looked at yet and looks at it. It is on the node then, for VMs to be made of.
   * @throws HypervisorError with what is wrong with the image or its place, in words for its owner.
   */
  fetchImage(
    order: ImageOrder,
    onProgress: (bytes: number, totalBytes: number | undefined) => void,
    signal: AbortSignal,
  ): Promise<CheckedImage>;

  /**
   * The guest's screen, as an RFB server speaks, or its serial line, both ways. What is not read is not sent on: the
   * guest waits, or loses it. Closing the stream closes the console. @throws HypervisorError when it does not run.
   */
  openConsole(identity: DomainIdentity, kind: ConsoleKind): Promise<Duplex>;

  /** Whose fixed address it is, of the guests of this node; undefined for every other address. */
  guestAt(address: string): Promise<MetadataSeed | undefined>;

  /** `mayRun` is asked directly before any guest begins to run, and throws when none may. */
  guardStarts(mayRun: () => void): void;

  /** Makes every guest that may be started elsewhere (`autoRecover`) unable to run, and stops those that do. */
  fence(): Promise<void>;

  /** The node has its lease again: takes in what was done meanwhile, by whomever, and undoes `fence`; starts nothing. */
  unfence(): Promise<void>;

  /** Of every running domain of ours. */
  counters(): Promise<readonly GuestCounters[]>;

  /** Tells of power changes that nobody here asked for (a guest that shut itself down, a crash). */
  onPowerChange(listener: (change: PowerChange) => void): void;
}

/** `message` is fit for the VM's owner; what is only for the operator (paths, libvirt's words) goes into `cause`. */
export class HypervisorError extends Error {
  /** Where it would happen again; of the node itself, unless it is said otherwise. */
  readonly failure: FailureCause;

  constructor(
    message: string,
    readonly retryable: boolean,
    { failure = 'node', ...options }: { cause?: unknown; failure?: FailureCause } = {},
  ) {
    super(message, options);
    this.failure = failure;
    this.name = 'HypervisorError';
  }
}
