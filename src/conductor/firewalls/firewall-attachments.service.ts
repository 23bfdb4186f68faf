/**
 * Which firewalls hold for which VMs, set as a whole from either side. A firewall and its VMs are of one environment.
 * What does not change costs nothing: only VMs that gain or lose a firewall get a new generation.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { change } from '../audit/change.js';
import type { VmId } from '../../protocol/ids.js';
import { badRequest, notFound } from '../http/api-error.js';
import type { Principal } from '../identity/principal.js';
import { lockVm, lockVms, requireSettled, updateVmNetworks, type LockedVm } from '../security-rules/vm-network-update.js';
import { TaskRelay } from '../tasks/task-relay.js';
import { attach, attachedVmIds, lockFirewalls, type LockedFirewall } from './attachments.js';

@Injectable()
export class FirewallAttachmentsService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly relay: TaskRelay,
  ) {}

  /** @returns the firewall's name. */
  async setVms(principal: Principal, firewallId: number, vmIds: readonly number[]): Promise<string> {
    const name = await change(this.dataSource, principal, async (transaction) => {
      const [firewall] = (await lockFirewalls(transaction, principal.organizationId, [firewallId])) as [LockedFirewall];
      const before = await attachedVmIds(transaction, firewallId);
      const wanted = new Set(vmIds);
      const vms = await lockVms(transaction, principal.organizationId, [...new Set([...before, ...vmIds])]);
      const missing = vmIds.find((id) => !vms.some((vm) => vm.id === id));
      if (missing !== undefined) throw notFound(`The virtual machine ${missing}`);
      const added = vms.filter(({ id }) => wanted.has(id) && !before.includes(id));
      const removed = vms.filter(({ id }) => !wanted.has(id));
      for (const vm of added) requireFit(firewall, vm);
      await detach(transaction, [firewallId], before.filter((id) => !wanted.has(id)));
      await attach(transaction, firewallId, added);
      await updateVmNetworks(transaction, [...added, ...removed].filter(({ status }) => status !== 'DELETING'));
      return firewall.name;
    });
    this.relay.wake();
    return name;
  }

  /** @returns the VM's name. */
  async setFirewalls(principal: Principal, vmId: VmId, firewallIds: readonly number[]): Promise<string> {
    const name = await change(this.dataSource, principal, async (transaction) => {
      const firewalls = await lockFirewalls(transaction, principal.organizationId, firewallIds);
      const vm = await lockVm(transaction, principal.organizationId, vmId);
      requireSettled(vm);
      const rows = await transaction.query<{ firewall_id: number }[]>(
        'SELECT firewall_id FROM firewall_attachment WHERE virtual_machine_id = $1',
        [vm.id],
      );
      const before = rows.map(({ firewall_id }) => firewall_id);
      const added = firewalls.filter(({ id }) => !before.includes(id));
      const removed = before.filter((id) => !firewallIds.includes(id));
      for (const firewall of added) requireFit(firewall, vm);
      await detach(transaction, removed, [vm.id]);
      for (const { id } of added) await attach(transaction, id, [vm]);
      if (added.length + removed.length > 0) await updateVmNetworks(transaction, [vm]);
      return vm.name;
    });
    this.relay.wake();
    return name;
  }
}

function requireFit(firewall: LockedFirewall, vm: LockedVm): void {
  if (firewall.environment_id !== vm.environment_id)
    throw badRequest(`The firewall '${firewall.name}' and ${vm.name} are in different environments. Make a firewall in the environment of the VM.`);
  requireSettled(vm);
}

async function detach(transaction: EntityManager, firewallIds: readonly number[], vmIds: readonly number[]): Promise<void> {
  await transaction.query('DELETE FROM firewall_attachment WHERE firewall_id = ANY($1) AND virtual_machine_id = ANY($2)', [
    firewallIds,
    vmIds,
  ]);
}
