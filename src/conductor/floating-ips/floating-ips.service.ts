/**
 * Floating addresses of VMs that are there: attached from the region's pool, detached back into it.
 *
 * The race it excludes: an address on two nodes. One that is detached stays the VM's until its node has reported the
 * generation without it (reports.ts lets it go); a VM without a place on a node gives it back at once.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { change } from '../audit/change.js';
import type { VmId } from '../../protocol/ids.js';
import { badRequest } from '../http/api-error.js';
import type { Principal } from '../identity/principal.js';
import {
  lockVm,
  nextGeneration,
  noCapacity,
  requireSettled,
  updateVmNetworks,
  writeNetworkEvents,
} from '../security-rules/vm-network-update.js';
import { TaskRelay } from '../tasks/task-relay.js';

interface HeldAddress {
  readonly id: number;
  readonly address: string;
  readonly detaching: boolean;
}

const HELD = 'SELECT id, address, detaching AND changed_for IS NOT DISTINCT FROM virtual_machine_id AS detaching FROM floating_ip WHERE virtual_machine_id = $1 FOR UPDATE';

@Injectable()
export class FloatingIpsService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly relay: TaskRelay,
  ) {}

  /** @returns the VM's name. */
  async attach(principal: Principal, vmId: VmId): Promise<string> {
    const name = await change(this.dataSource, principal, async (transaction) => {
      const vm = await lockVm(transaction, principal.organizationId, vmId);
      requireSettled(vm);
      const [held] = await transaction.query<HeldAddress[]>(HELD, [vm.id]);
      if (held?.detaching) throw badRequest(`${vm.name} is still giving back ${held.address}. Try again in a moment.`);
      if (held !== undefined) throw badRequest(`${vm.name} has the floating IP ${held.address} already.`);
      const [[taken]] = await transaction.query<[Pick<HeldAddress, 'address'>[], number]>(
        `UPDATE floating_ip SET virtual_machine_id = $1, changed_for = $1, changed_generation = $2, detaching = false
          WHERE id = (SELECT id FROM floating_ip WHERE region_id = $3 AND virtual_machine_id IS NULL
                       ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING id, address`,
        [vm.id, nextGeneration(vm), vm.region_id],
      );
      if (taken === undefined) throw noCapacity(`The region of ${vm.name} has no floating IP free. Detach one from another VM first.`);
      await updateVmNetworks(transaction, [vm]);
      await writeNetworkEvents(transaction, principal, [vm], 'AttachFloatingIPToInstanceRequest', `Floating IP ${taken.address} is being attached.`);
      return vm.name;
    });
    this.relay.wake();
    return name;
  }

  /** @returns the VM's name. */
  async detach(principal: Principal, vmId: VmId): Promise<string> {
    const name = await change(this.dataSource, principal, async (transaction) => {
      const vm = await lockVm(transaction, principal.organizationId, vmId);
      requireSettled(vm);
      const [held] = await transaction.query<HeldAddress[]>(HELD, [vm.id]);
      if (held === undefined) throw badRequest(`${vm.name} has no floating IP.`);
      if (held.detaching) throw badRequest(`The floating IP ${held.address} is being detached from ${vm.name} already.`);
      const detached = vm.placed
        ? 'SET detaching = true, changed_for = virtual_machine_id, changed_generation = $2'
        : 'SET virtual_machine_id = NULL, changed_generation = $2';
      await transaction.query(`UPDATE floating_ip ${detached} WHERE id = $1`, [held.id, nextGeneration(vm)]);
      await updateVmNetworks(transaction, [vm]);
      await writeNetworkEvents(transaction, principal, [vm], 'DetachFloatingIPFromInstanceRequest', `Floating IP ${held.address} is being detached.`);
      return vm.name;
    });
    this.relay.wake();
    return name;
  }
}
