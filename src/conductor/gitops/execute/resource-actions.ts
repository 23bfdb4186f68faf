/** How each kind of resource is made, changed and deleted: by one call, or a few, of the services behind the API. */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { ApiError } from '../../http/api-error.js';
import { EnvironmentsService } from '../../environments/environments.service.js';
import { FirewallsService } from '../../firewalls/firewalls.service.js';
import { KeypairsService } from '../../keypairs/keypairs.service.js';
import { ProfilesService } from '../../profiles/profiles.service.js';
import type { CreateSecurityRulePayload } from '../../security-rules/security-rule.dto.js';
import { VolumesService } from '../../volumes/volumes.service.js';
import { canonicalRules } from '../manifest/compile.js';
import type { DeclaredResource } from '../manifest/resource.js';
import type { Action, ActualOf, ActualResource } from '../plan/plan.js';
import { Ownership, type LeasedOwner } from '../state/ownership.js';
import { VirtualMachineActions } from './virtual-machine-actions.js';

/** `waiting`: as much as is possible now; a later pass goes on. */
export type Outcome = 'done' | 'waiting';

type Rule = CreateSecurityRulePayload & { readonly id: number };

@Injectable()
export class ResourceActions {
  constructor(
    private readonly dataSource: DataSource,
    private readonly ownership: Ownership,
    private readonly environments: EnvironmentsService,
    private readonly keypairs: KeypairsService,
    private readonly firewalls: FirewallsService,
    private readonly volumes: VolumesService,
    private readonly profiles: ProfilesService,
    private readonly virtualMachines: VirtualMachineActions,
  ) {}

  /** @throws ApiError in the words that the API would refuse it with. */
  async carryOut(action: Action, owner: LeasedOwner, commit: string): Promise<Outcome> {
    const { declared, actual } = action;
    switch (action.verb) {
      case 'create':
        return await this.create(declared!, owner, commit);
      case 'update':
        return await this.update(action, owner);
      case 'delete':
        return await this.delete(actual!, owner);
      case 'replace': {
        const outcome = await this.delete(actual!, owner);
        // One that takes its time is made anew by a later pass, which finds it missing.
        return outcome === 'waiting' ? outcome : await this.create(declared!, owner, commit);
      }
    }
  }

  private async create(declared: DeclaredResource, owner: LeasedOwner, commit: string): Promise<Outcome> {
    await this.ownership.claim(owner, declared, commit);
    let id: number;
    try {
      id = await this.make(declared, owner);
    } catch (error) {
      // A machine or volume of this name may be our own, of a pass that was thought dead: who made it tells, next time.
      const ownPerhaps = error instanceof ApiError && error.status === 409 && (declared.kind === 'VirtualMachine' || declared.kind === 'Volume');
      if (error instanceof ApiError && !ownPerhaps) await this.ownership.release(owner, declared);
      throw error;
    }
    await this.ownership.bind(owner, declared, id);
    if (declared.kind === 'Firewall') await this.setRules(owner, id, declared);
    return 'done';
  }

  private async make(declared: DeclaredResource, owner: LeasedOwner): Promise<number> {
    const { environment, name } = declared;
    switch (declared.kind) {
      case 'Environment':
        return (await this.environments.create(owner, name, declared.spec.region)).id;
      case 'Keypair': {
        const { public_key } = declared.spec;
        return (await this.keypairs.import(owner, { name, environment_name: environment, public_key })).id;
      }
      case 'Firewall': {
        const environment_id = await this.environmentId(owner, environment);
        return (await this.firewalls.create(owner, { environment_id, name })).id;
      }
      case 'Volume': {
        const { size, type } = declared.spec;
        return (await this.volumes.create(owner, { name, environment_name: environment, size, volume_type: type as 'Cloud-SSD' })).id;
      }
      case 'Profile': {
        const { description, data } = declared.spec;
        return (await this.profiles.create(owner, { name, description, data })).id;
      }
      case 'VirtualMachine':
        return await this.virtualMachines.create(owner, declared);
    }
  }

  private async update({ declared, actual, changes }: Action, owner: LeasedOwner): Promise<Outcome> {
    const { id } = actual!;
    switch (declared!.kind) {
      case 'Environment':
        await this.environments.rename(owner, id, declared!.name);
        return 'done';
      case 'Keypair':
        await this.keypairs.rename(owner, id, declared!.name);
        return 'done';
      case 'Volume': {
        const changed = new Set(changes.map(({ field }) => field));
        await this.volumes.change(owner, id, {
          ...(changed.has('environment') && { environment_name: declared!.environment }),
          ...(changed.has('size') && { size: (declared as Extract<DeclaredResource, { kind: 'Volume' }>).spec.size }),
        });
        return 'done';
      }
      case 'Firewall':
        await this.setRules(owner, id, declared!);
        return 'done';
      case 'VirtualMachine':
        return await this.virtualMachines.update(owner, declared!, actual as ActualOf<'VirtualMachine'>, changes);
      case 'Profile':
        throw new Error('A profile has no field that changes in place.');
    }
  }

  private async delete(actual: ActualResource, owner: LeasedOwner): Promise<Outcome> {
    const { kind, id, readiness } = actual;
    if (readiness === 'deleting' || readiness === 'busy') return 'waiting';
    switch (kind) {
      case 'Environment':
        await this.environments.delete(owner, id);
        break;
      case 'Keypair':
        await this.keypairs.delete(owner, id);
        break;
      case 'Firewall':
        await this.firewalls.delete(owner, id);
        break;
      case 'Volume':
        // Its file may take its time to go.
        await this.volumes.delete(owner, id);
        return 'waiting';
      case 'Profile':
        await this.profiles.delete(owner, id);
        break;
      case 'VirtualMachine':
        await this.virtualMachines.delete(owner, id);
        return 'waiting';
    }
    await this.ownership.release(owner, actual);
    return 'done';
  }

  /** First those that are to come, then those that go: what passes before and after is never cut off between. */
  private async setRules(owner: LeasedOwner, id: number, declared: Extract<DeclaredResource, { kind: 'Firewall' }>): Promise<void> {
    const present = (await this.firewalls.get(owner.organizationId, id)).rules as unknown as Rule[];
    const wanted = new Map(declared.spec.rules.map((rule) => [JSON.stringify(rule), rule]));
    const surplus = present.filter((rule) => !wanted.delete(textOf(rule)));
    for (const { direction, ethertype, protocol, remoteIpPrefix, portMin, portMax } of wanted.values())
      await this.firewalls.addRule(owner, id, {
        direction,
        ethertype,
        protocol: protocol as CreateSecurityRulePayload['protocol'],
        remote_ip_prefix: remoteIpPrefix,
        port_range_min: portMin ?? null,
        port_range_max: portMax ?? null,
      });
    for (const rule of surplus) await this.firewalls.removeRule(owner, id, rule.id);
  }

  private async environmentId({ organizationId }: LeasedOwner, name: string): Promise<number> {
    const [row] = await this.dataSource.query<{ id: number }[]>(
      'SELECT id FROM environment WHERE organization_id = $1 AND name = $2 AND deleted_at IS NULL',
      [organizationId, name],
    );
    if (row === undefined) throw new ApiError(404, `There is no environment ${JSON.stringify(name)}. Declare it, or make it by hand.`);
    return row.id;
  }
}

function textOf({ direction, ethertype, protocol, remote_ip_prefix, port_range_min, port_range_max }: Rule): string {
  const ports = typeof port_range_min !== 'number' || typeof port_range_max !== 'number' ? {} : { portMin: port_range_min, portMax: port_range_max };
  return JSON.stringify(canonicalRules([{ direction, ethertype, protocol, remoteIpPrefix: remote_ip_prefix, ...ports }])[0]);
}
