/**
 * What this process knows of its VMs beside the hypervisor: the newest generation it was asked for, the one it last
 * converged, and whether the domain is one that it made itself and that never ran, which alone may be undone.
 *
 * A restart forgets all of it, on the safe side: a domain found is taken for one that holds somebody's data. VMs that
 * are gone are kept in mind for a while, against old tasks that come late, then forgotten.
 */
import type { IncarnationId, VmUuid } from '../../protocol/ids.js';
import type { ConvergeTask } from '../../protocol/task.js';

const MOST_GONE = 10_000;

export interface KnownVm {
  newestGeneration: number;
  converged?: { readonly incarnationId: IncarnationId; readonly generation: number };
  /** The incarnation that this process defined and has not yet started. */
  madeUnstarted?: IncarnationId | undefined;
}

export class KnownVms {
  private readonly present = new Map<VmUuid, KnownVm>();
  private readonly gone = new Map<VmUuid, KnownVm>();

  /** Called as the task arrives, so that one that waits for its turn already outdates those before it. */
  arrived({ vmUuid, generation }: ConvergeTask): KnownVm {
    const known = this.of(vmUuid) ?? { newestGeneration: generation };
    known.newestGeneration = Math.max(known.newestGeneration, generation);
    this.gone.delete(vmUuid);
    this.present.set(vmUuid, known);
    return known;
  }

  of(vmUuid: VmUuid): KnownVm | undefined {
    return this.present.get(vmUuid) ?? this.gone.get(vmUuid);
  }

  /** The VM has no domain here any more. */
  left(vmUuid: VmUuid): void {
    const known = this.present.get(vmUuid);
    if (!known) return;
    this.present.delete(vmUuid);
    this.gone.set(vmUuid, known);
    if (this.gone.size > MOST_GONE) this.gone.delete(this.gone.keys().next().value!);
  }
}
