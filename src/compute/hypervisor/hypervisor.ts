/**
 * The hypervisor port: what a compute worker asks of the host. Two adapters: `libvirt/` (real guests) and
 * `simulated/` (no guests; for tests, benches and hosts without virtualization).
 *
 * Every call looks first, then does, so that each may be repeated after a crash at any point. A call that cannot do
 * its work throws `HypervisorError` and leaves nothing half made that a later `remove` would not find. Domains that
 * Baton did not make are never listed and never touched.
 */
import type { InventoryItem, NodeCapacity } from '../../protocol/node.js';
import type { IncarnationId, VmUuid } from '../../protocol/ids.js';
import type { VmSpec } from '../../protocol/task.js';

export interface DomainIdentity {
  readonly vmUuid: VmUuid;
  readonly incarnationId: IncarnationId;
}

export interface PowerChange extends DomainIdentity {
  readonly state: InventoryItem['state'];
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

  /** The domain's state, or undefined when there is none. A domain of another incarnation of the VM counts as none. */
  state(identity: DomainIdentity): Promise<InventoryItem['state'] | undefined>;

  /**
   * Makes disk, network address and domain, without starting it. Repeating it keeps the disk's content.
   * `metadataToken` goes into the guest's data-source URL.
   * @returns the address that the guest will get by DHCP.
   */
  define(identity: DomainIdentity, spec: VmSpec, metadataToken: string): Promise<{ fixedIp: string }>;

  /** Powers on; nothing if it runs. */
  start(identity: DomainIdentity): Promise<void>;

  /** ACPI first, then off after the time limit; nothing if it is off. */
  stop(identity: DomainIdentity): Promise<void>;

  /**
   * Resets a running guest, unless its domain was already reset `times` times. A domain that was started after it was
   * defined with as many `resets` in its specification counts as reset.
   */
  reset(identity: DomainIdentity, times: number): Promise<void>;

  /** Powers off and removes domain, disk, address, console log. Nothing left is success too. */
  remove(identity: DomainIdentity): Promise<void>;

  /** Tells of power changes that nobody here asked for (a guest that shut itself down, a crash). */
  onPowerChange(listener: (change: PowerChange) => void): void;
}

/** `message` is fit for the VM's owner; what is only for the operator (paths, libvirt's words) goes into `cause`. */
export class HypervisorError extends Error {
  constructor(
    message: string,
    readonly retryable: boolean,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = 'HypervisorError';
  }
}
