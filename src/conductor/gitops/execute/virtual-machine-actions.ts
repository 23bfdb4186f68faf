/**
 * Machines: made with all that they can be made with; what can only be given to one that runs is given by the passes
 * after. Of what takes a machine out of service, one thing at a time.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { VmId } from '../../../protocol/ids.js';
import { FirewallAttachmentsService } from '../../firewalls/firewall-attachments.service.js';
import { FloatingIpsService } from '../../floating-ips/floating-ips.service.js';
import { ApiError } from '../../http/api-error.js';
import { SecurityRulesService } from '../../security-rules/security-rules.service.js';
import { CustomFlavors } from '../../virtual-machines/custom-flavors.js';
import { VmActions } from '../../virtual-machines/vm-actions.js';
import { VmCallbacks } from '../../virtual-machines/vm-callbacks.js';
import { VmCreation } from '../../virtual-machines/vm-creation.js';
import { VmLabels } from '../../virtual-machines/vm-labels.js';
import { VolumeAttachments } from '../../volumes/volume-attachments.js';
import { asMeasured, creationRequest } from '../manifest/creation-request.js';
import type { DeclaredVirtualMachine, VirtualMachineSpec } from '../manifest/resource.js';
import type { ActualOf, FieldChange } from '../plan/plan.js';
import type { LeasedOwner } from '../state/ownership.js';
import { setRules, type PresentRule } from './rule-changes.js';
import type { Outcome } from './resource-actions.js';

type ActualVirtualMachine = ActualOf<'VirtualMachine'>;

/** In which order fields are brought about, and whether the machine must have arrived for it. */
const FIELDS = [
  { field: 'labels', settled: false },
  { field: 'callback_url', settled: false },
  { field: 'security_rules', settled: true },
  { field: 'firewalls', settled: true },
  { field: 'floating_ip', settled: true },
  { field: 'volumes', settled: true },
  { field: 'flavor', settled: true },
  { field: 'power', settled: true },
] as const satisfies readonly { field: keyof VirtualMachineSpec; settled: boolean }[];

type Field = (typeof FIELDS)[number]['field'];

@Injectable()
export class VirtualMachineActions {
  constructor(
    private readonly dataSource: DataSource,
    private readonly creation: VmCreation,
    private readonly actions: VmActions,
    private readonly flavors: CustomFlavors,
    private readonly labels: VmLabels,
    private readonly callbacks: VmCallbacks,
    private readonly firewalls: FirewallAttachmentsService,
    private readonly floatingIps: FloatingIpsService,
    private readonly volumes: VolumeAttachments,
    private readonly securityRules: SecurityRulesService,
  ) {}

  async create(owner: LeasedOwner, { name, environment, spec, userData }: DeclaredVirtualMachine): Promise<number> {
    const { instances } = await this.creation.create(owner, { name, ...creationRequest(environment, spec, userData) });
    return instances[0]!.id;
  }

  async delete(owner: LeasedOwner, id: number): Promise<void> {
    await this.actions.actOnOne(owner, 'delete', { id: id as VmId });
  }

  async update(owner: LeasedOwner, declared: DeclaredVirtualMachine, actual: ActualVirtualMachine, changes: readonly FieldChange[]): Promise<Outcome> {
    const changed = new Set(changes.map(({ field }) => field));
    let outcome: Outcome = 'done';
    for (const { field, settled } of FIELDS) {
      if (!changed.has(field)) continue;
      if (settled && actual.readiness === 'busy') return 'waiting';
      const result = await this.bring(field, owner, declared, actual);
      if (result === 'out of service') return 'waiting';
      if (result === 'waiting') outcome = result;
    }
    return outcome;
  }

  private async bring(field: Field, owner: LeasedOwner, declared: DeclaredVirtualMachine, actual: ActualVirtualMachine): Promise<Outcome | 'out of service'> {
    const id = actual.id as VmId;
    const { spec } = declared;
    switch (field) {
      case 'labels':
        await this.labels.replace(owner, id, spec.labels);
        return 'done';
      case 'callback_url':
        if (spec.callback_url === null) await this.callbacks.remove(owner, { id });
        else if (actual.spec.callback_url === null) await this.callbacks.attach(owner, { id }, spec.callback_url);
        else await this.callbacks.update(owner, { id }, spec.callback_url);
        return 'done';
      case 'security_rules':
        await setRules(spec.security_rules ?? [], {
          present: await this.rulesOf(owner, id),
          add: (rule) => this.securityRules.add(owner, id, rule),
          remove: (ruleId) => this.securityRules.remove(owner, id, ruleId),
        });
        return 'done';
      case 'firewalls':
        await this.firewalls.setFirewalls(owner, id, await this.ids(owner, 'firewall', declared.environment, spec.firewalls));
        return 'done';
      case 'floating_ip':
        if (spec.floating_ip) await this.floatingIps.attach(owner, id);
        else await this.floatingIps.detach(owner, id);
        return 'waiting';
      case 'volumes':
        return await this.setVolumes(owner, declared, actual);
      case 'flavor':
        await this.actions.actOnOne(owner, 'resize', { id }, { flavor: typeof spec.flavor === 'string' ? spec.flavor : this.flavors.measure(asMeasured(spec.flavor)) });
        return 'out of service';
      case 'power':
        await this.actions.actOnOne(owner, powerAction(actual.spec.power, spec.power), { id });
        return 'out of service';
    }
  }

  private async rulesOf({ organizationId }: LeasedOwner, id: VmId): Promise<PresentRule[]> {
    return await this.dataSource.query<PresentRule[]>(
      `SELECT s.id, s.direction, s.ethertype, s.protocol, s.remote_ip_prefix, s.port_range_min, s.port_range_max
         FROM security_rule s JOIN virtual_machine vm ON vm.id = s.virtual_machine_id WHERE vm.organization_id = $1 AND vm.id = $2`,
      [organizationId, id],
    );
  }

  private async setVolumes(owner: LeasedOwner, { environment, spec }: DeclaredVirtualMachine, actual: ActualVirtualMachine): Promise<Outcome> {
    const id = actual.id as VmId;
    const surplus = actual.spec.volumes.filter((name) => !spec.volumes.includes(name));
    const missing = spec.volumes.filter((name) => !actual.spec.volumes.includes(name));
    if (surplus.length > 0) await this.volumes.detach(owner, { id }, await this.ids(owner, 'volume', environment, surplus));
    if (missing.length > 0) await this.volumes.attach(owner, { id }, await this.ids(owner, 'volume', environment, missing), false);
    return 'waiting';
  }

  /** @throws ApiError 404 for a name that the environment does not have. */
  private async ids({ organizationId }: LeasedOwner, table: 'firewall' | 'volume', environment: string, names: readonly string[]): Promise<number[]> {
    const rows = await this.dataSource.query<{ id: number; name: string }[]>(
      `SELECT t.id, t.name FROM ${table} t JOIN environment e ON e.id = t.environment_id
        WHERE e.organization_id = $1 AND e.name = $2 AND e.deleted_at IS NULL AND t.name = ANY($3) ${table === 'volume' ? 'AND t.deleted_at IS NULL' : ''}`,
      [organizationId, environment, names],
    );
    const missing = names.find((name) => !rows.some((row) => row.name === name));
    if (missing !== undefined)
      throw new ApiError(404, `There is no ${table} ${JSON.stringify(missing)} in the environment ${environment}. Declare it, or make it by hand.`);
    return rows.map(({ id }) => id);
  }
}

function powerAction(from: VirtualMachineSpec['power'], to: VirtualMachineSpec['power']): 'start' | 'stop' | 'hibernate-restore' {
  if (from === 'hibernated') return 'hibernate-restore';
  return to === 'stopped' ? 'stop' : 'start';
}
