/** How a compute node joins the fleet and stays in it. */
import type { ConsoleQuery } from './console.js';
import type { ConsoleLogQuery } from './console-log.js';
import type { ImageOrder } from './image.js';
import type { IncarnationId, SnapshotUuid, VmUuid, VolumeUuid } from './ids.js';
import type { ObservedState } from './report.js';
import type { VolumePreparation } from './volume.js';

export interface GpuInventory {
  readonly model: string;
  readonly count: number;
}

/** What a node has to give, before any allocation ratio. */
export interface NodeCapacity {
  readonly cpus: number;
  readonly memoryMib: number;
  readonly diskGib: number;
  readonly gpus: readonly GpuInventory[];
}

/** Sent with a join token the first time, with the node's own key ever after. */
export interface RegisterRequest {
  readonly name: string;
  readonly region: string;
  readonly hypervisor: string;
  /** Whether guests run on the processor (`kvm`), are emulated (`tcg`) or do not exist (`none`). */
  readonly acceleration: 'kvm' | 'tcg' | 'none';
  readonly protocolVersion: number;
  readonly capacity: NodeCapacity;
  /** It stops VMs with `autoRecover` by itself, also when it is frozen, once it could not renew its lease. */
  readonly fencing?: true;
}

/** One life of a VM on a node. */
export interface IncarnationRef {
  readonly vmUuid: VmUuid;
  readonly incarnationId: IncarnationId;
}

export interface RegisterAnswer {
  /** Only in the answer to a join token: the node's own key. The worker keeps it; the conductor keeps its hash. */
  readonly nodeKey?: string;
  /** Raised with each registration; a process with an older session is refused, so a name never has two workers. */
  readonly session: number;
  readonly queue: string;
  readonly heartbeatSeconds: number;
  /** After this long without a heartbeat the node is DOWN and gets no new VMs. */
  readonly leaseSeconds: number;
  /** For how long after the sending of a sign of life that was answered VMs with `autoRecover` may run. */
  readonly fenceSeconds?: number;
  /** What has ended while the node was lost: to be removed, and reported `absent`, before the node takes tasks. */
  readonly ended?: readonly IncarnationRef[];
  /** How often the node shall tell what its guests use; absent from conductors that do not want to know. */
  readonly metricsSeconds?: number;
}

/** One domain that is Baton's, as the hypervisor has it. */
export interface InventoryItem {
  readonly vmUuid: VmUuid;
  readonly incarnationId: number;
  readonly state: Extract<ObservedState, 'running' | 'stopped' | 'hibernated'>;
  /** Of one that is running: its processors stand still. */
  readonly paused?: true;
  /** Of one that is stopped: its guest switched it off. */
  readonly shutDown?: true;
  /** The file of one of its disks is not there. */
  readonly diskMissing?: true;
}

/** A domain on the node that is not Baton's. It is only told of; nobody ever touches it. */
export interface ForeignDomain {
  readonly uuid: string;
  readonly name: string;
}

/** What a hypervisor has, as it was when the last report had this sequence: later reports know better. */
export interface Inventory {
  readonly domains: readonly InventoryItem[];
  readonly foreign: readonly ForeignDomain[];
  readonly sequence: number;
}

export interface Heartbeat {
  readonly session: number;
  /** SHA-256 over the sorted inventory, snapshots and foreign domains. */
  readonly inventoryDigest: string;
  /**
   * The sequence of the last report that was made before this inventory was begun; absent from workers that tell no
   * drift.
   */
  readonly sequence?: number;
  /** Present when the digest changed since the last heartbeat that was answered. */
  readonly inventory?: readonly InventoryItem[];
  /** The snapshots whose files are on the node; with the inventory, from workers that can take any. */
  readonly snapshots?: readonly SnapshotUuid[];
  /** Comes with `inventory`. */
  readonly foreign?: readonly ForeignDomain[];
}

export interface HeartbeatAnswer {
  /** Volumes whose files on this node shall go; named again until the worker tells that they are gone. */
  readonly removeVolumes?: readonly VolumeUuid[];
  /** The same for snapshots. */
  readonly removeSnapshots?: readonly SnapshotUuid[];
  /** Images that this node shall download; named again until their outcome is told. */
  readonly fetchImages?: readonly ImageOrder[];
  /** Volumes to be made of their images; named again until the worker tells that they are there, or why not. */
  readonly prepareVolumes?: readonly VolumePreparation[];
  /** Consoles that somebody wants to see; absent from conductors of the version before. */
  readonly consoleLogs?: readonly ConsoleLogQuery[];
  /** Consoles that somebody wants to open; named until the worker is there with each. */
  readonly consoles?: readonly ConsoleQuery[];
}
