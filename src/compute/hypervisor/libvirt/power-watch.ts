/**
 * Tells apart the power changes that somebody here asked for from those that just happened.
 *
 * An event is only a doorbell: the state is read anew each time and compared with the last one known, so events that
 * are late, doubled or lost do no harm. While a VM is being worked on its doorbell is ignored; the end of the work
 * takes the state as known.
 */
import type { InventoryItem } from '../../../protocol/node.js';
import type { DomainIdentity, PowerChange } from '../hypervisor.js';

type PowerState = InventoryItem['state'];
type Listener = (change: PowerChange) => void;

export interface Observation {
  readonly identity: DomainIdentity;
  readonly state: PowerState;
  readonly shutDown?: true | undefined;
}

export class PowerWatch {
  private readonly known = new Map<string, PowerState>();
  private readonly inWork = new Map<string, number>();
  private readonly listeners: Listener[] = [];

  onChange(listener: Listener): void {
    this.listeners.push(listener);
  }

  /** Does the work with the doorbell muted, then takes what `look` sees as known. */
  async mute<T>(uuid: string, work: () => Promise<T>, look: () => Promise<Observation | undefined>): Promise<T> {
    this.inWork.set(uuid, (this.inWork.get(uuid) ?? 0) + 1);
    try {
      return await work();
    } finally {
      const seen = await look().catch(() => undefined);
      const left = this.inWork.get(uuid)! - 1;
      if (left > 0) this.inWork.set(uuid, left);
      else this.inWork.delete(uuid);
      if (seen) this.known.set(uuid, seen.state);
      else this.known.delete(uuid);
    }
  }

  /** Whether a doorbell of the VM means nothing now. */
  isMuted(uuid: string): boolean {
    return this.inWork.has(uuid);
  }

  /** Takes a state as known without telling anybody: how things stood when the worker came. */
  remember({ identity, state }: Observation): void {
    this.known.set(identity.vmUuid, state);
  }

  /** Tells the listeners when the state is not the one known. */
  observe({ identity, state, shutDown }: Observation): void {
    if (this.inWork.has(identity.vmUuid) || this.known.get(identity.vmUuid) === state) return;
    this.known.set(identity.vmUuid, state);
    for (const listener of this.listeners) listener({ ...identity, state, ...(shutDown && { shutDown }) });
  }
}
