/**
 * What it means for its owner that a VM cannot be brought where it shall be: ERROR with the reason, an event and a
 * webhook. It keeps its place, for its disk may hold data: it can be asked again, or deleted. Should its worker report
 * a success after all, that counts.
 */
import type { EntityManager } from 'typeorm';
import type { OrganizationId, VmId } from '../../protocol/ids.js';
import { settleSnapshots } from '../snapshots/snapshot-reports.js';
import type { VmStatus } from '../virtual-machines/vm-status.js';
import { writeStatusChanges } from '../virtual-machines/vm-status-changes.js';

export interface GivenUpVm {
  readonly id: VmId;
  readonly organization_id: OrganizationId;
  readonly name: string;
  readonly status: VmStatus;
  readonly generation: number;
  readonly has_callback: boolean;
}

/** Of `virtual_machine`. */
export const GIVEN_UP_COLUMNS = 'id, organization_id, name, status, generation, callback_url IS NOT NULL AS has_callback';

/** In a transaction that has the VM's row locked. @returns whether there is a webhook to deliver. */
export async function giveUpVm(transaction: EntityManager, vm: GivenUpVm, fault: string): Promise<boolean> {
  await transaction.query(
    `UPDATE virtual_machine SET status = 'ERROR', observed = 'failed', observed_generation = generation, fault = $2 WHERE id = $1`,
    [vm.id, fault],
  );
  await writeStatusChanges(transaction, [
    {
      vmId: vm.id,
      organizationId: vm.organization_id,
      name: vm.name,
      from: vm.status,
      status: 'ERROR',
      observed: 'failed',
      fault,
      userId: null,
      hasCallback: vm.has_callback,
    },
  ]);
  await settleSnapshots(transaction, [{ vmId: vm.id, generation: vm.generation, outcome: undefined, over: true, fault }]);
  return vm.has_callback;
}
