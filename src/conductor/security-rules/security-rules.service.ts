/**
 * Security rules of single VMs. A rule is a row; that it holds is derived: `confirmed` once the VM's node has reported
 * the generation that has it first. Each change locks the VM before it writes (see vm-network-update.ts).
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { change } from '../audit/change.js';
import type { VmId } from '../../protocol/ids.js';
import type { SecurityRuleSpec } from '../../protocol/security-rule.js';
import { alreadyExists, badRequest, notFound } from '../http/api-error.js';
import type { Principal } from '../identity/principal.js';
import { TaskRelay } from '../tasks/task-relay.js';
import { checkedRule } from './checked-rule.js';
import { insertRule, sameRule } from './rule-rows.js';
import { ruleFields, type CreateSecurityRulePayload, type SecurityGroupRuleFields } from './security-rule.dto.js';
import { lockVm, nextGeneration, updateVmNetworks, writeNetworkEvents } from './vm-network-update.js';

/** More than this makes every packet slow; firewalls count on their own. */
export const MOST_RULES = 100;

@Injectable()
export class SecurityRulesService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly relay: TaskRelay,
  ) {}

  async add(principal: Principal, vmId: VmId, payload: CreateSecurityRulePayload): Promise<SecurityGroupRuleFields> {
    const rule = checkedRule(payload);
    const row = await change(this.dataSource, principal, async (transaction) => {
      const vm = await lockVm(transaction, principal.organizationId, vmId);
      const present = await sameRule(transaction, { virtual_machine_id: vm.id }, rule);
      if (present.same !== null) throw alreadyExists(`${vm.name} has this rule already: its id is ${present.same}.`);
      if (present.count >= MOST_RULES)
        throw badRequest(`${vm.name} has ${MOST_RULES} security rules, as many as there may be. Delete some, or use a firewall.`);
      const made = await insertRule(transaction, { virtual_machine_id: vm.id }, rule, nextGeneration(vm));
      await updateVmNetworks(transaction, [vm]);
      await writeNetworkEvents(transaction, principal, [vm], 'AttachSecurityRuleToInstanceRequest', `Security rule: ${inWords(rule)}.`);
      return made;
    });
    this.relay.wake();
    return ruleFields({ ...row, confirmed: false });
  }

  async remove(principal: Principal, vmId: VmId, ruleId: number): Promise<void> {
    await change(this.dataSource, principal, async (transaction) => {
      const vm = await lockVm(transaction, principal.organizationId, vmId);
      const [removed] = await transaction.query<[unknown[], number]>(
        'DELETE FROM security_rule WHERE id = $1 AND virtual_machine_id = $2 RETURNING id',
        [ruleId, vm.id],
      );
      if (removed.length === 0) throw notFound('The security rule');
      await updateVmNetworks(transaction, [vm]);
      await writeNetworkEvents(transaction, principal, [vm], 'DetachSecurityRuleFromInstanceRequest', `Security rule ${ruleId} was removed.`);
    });
    this.relay.wake();
  }
}

const inWords = ({ direction, protocol, remoteIpPrefix, portMin, portMax }: SecurityRuleSpec): string =>
  `${direction} ${protocol} ${direction === 'ingress' ? 'from' : 'to'} ${remoteIpPrefix}` +
  (portMin === undefined ? '' : `, ports ${portMin}-${portMax}`);
