/**
 * Where a VM's changes of status are told: one URL, attached, replaced or taken away. A webhook that waits for its
 * delivery still goes to the URL of its time.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { change } from '../audit/change.js';
import { EgressPolicy } from '../egress/egress-policy.js';
import { badRequest, notFound } from '../http/api-error.js';
import type { Principal } from '../identity/principal.js';
import { lockVms, type VmSelector } from './vm-wishes.js';

@Injectable()
export class VmCallbacks {
  constructor(
    private readonly dataSource: DataSource,
    private readonly egress: EgressPolicy,
  ) {}

  /** @returns the VM's name. @throws ApiError 400 when it has a callback already. */
  async attach(principal: Principal, selector: VmSelector, url: string): Promise<string> {
    this.egress.checkUrl(url);
    return await this.write(principal, selector, url, (name, present) =>
      present ? `${name} has a callback. Replace it with update-callback, or remove it with delete-callback.` : undefined,
    );
  }

  /** @returns the VM's name. @throws ApiError 400 when it has none. */
  async update(principal: Principal, selector: VmSelector, url: string): Promise<string> {
    this.egress.checkUrl(url);
    return await this.write(principal, selector, url, unlessPresent);
  }

  /** @returns the VM's name. @throws ApiError 400 when it has none. */
  async remove(principal: Principal, selector: VmSelector): Promise<string> {
    return await this.write(principal, selector, null, unlessPresent);
  }

  private write(
    principal: Principal,
    selector: VmSelector,
    url: string | null,
    refusalOf: (name: string, present: boolean) => string | undefined,
  ): Promise<string> {
    return change(this.dataSource, principal, async (transaction, concerns) => {
      const [vm] = await lockVms(transaction, principal, selector);
      if (vm === undefined) throw notFound('The virtual machine');
      const refusal = refusalOf(vm.name, vm.has_callback);
      if (refusal !== undefined) throw badRequest(refusal);
      concerns(vm.id);
      await transaction.query('UPDATE virtual_machine SET callback_url = $2 WHERE id = $1', [vm.id, url]);
      await transaction.query(
        `INSERT INTO event (organization_id, virtual_machine_id, user_id, reason, object, message)
         VALUES ($1, $2, $3, 'InstanceCallbackChanged', $4, $5)`,
        [principal.organizationId, vm.id, principal.userId, vm.name, url === null ? 'The callback was removed.' : 'The callback was set.'],
      );
      return vm.name;
    });
  }
}

const unlessPresent = (name: string, present: boolean): string | undefined =>
  present ? undefined : `${name} has no callback. Set one with attach-callback.`;
