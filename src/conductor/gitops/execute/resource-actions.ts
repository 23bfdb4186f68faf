/** How each kind of resource is made, changed and deleted: by one call, or a few, of the services behind the API. */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { crashPoint } from '../../../crash-points.js';
import { ApiError } from '../../http/api-error.js';
import { EnvironmentsService } from '../../environments/environments.service.js';
import { FirewallsService } from '../../firewalls/firewalls.service.js';
import { KeypairsService } from '../../keypairs/keypairs.service.js';
import { ProfilesService } from '../../profiles/profiles.service.js';
import { VolumesService } from '../../volumes/volumes.service.js';
import type { DeclaredResource } from '../manifest/resource.js';
import type { Action, ActualOf, ActualResource } from '../plan/plan.js';
import { Ownership, type LeasedOwner } from '../state/ownership.js';
import { setRules, type PresentRule } from './rule-changes.js';
import { VirtualMachineActions } from './virtual-machine-actions.js';

/** `waiting`: as much as is possible now; a later pass goes on. */
export type Outcome = 'done' | 'waiting';

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
    const claim = await this.ownership.claim(owner, declared, commit);
    crashPoint('gitops:claimed');
    let id: number;
    try {
      id = await this.make(declared, owner, claim);
    } catch (error) {
      // What has this name may be our own, of a pass that was thought dead: it tells, next time.
      if (error instanceof ApiError && error.status !== 409) await this.ownership.release(owner, declared);
      throw error;
    }
    crashPoint('gitops:made');
    await this.ownership.bind(owner, declared, id);
    if (declared.kind === 'Firewall') await this.setRules(owner, id, declared);
    // Its node makes it of its image; what boots from it comes after that.
    return declared.kind === 'Volume' && declared.spec.image !== null ? 'waiting' : 'done';
  }

  private async make(declared: DeclaredResource, owner: LeasedOwner, claim: string): Promise<number> {
    const { environment, name } = declared;
    switch (declared.kind) {
      case 'Environment':
        return (await this.environments.create(owner, name, declared.spec.region, claim)).id;
      case 'Keypair': {
        const { public_key } = declared.spec;
        return (await this.keypairs.import(owner, { name, environment_name: environment, public_key }, claim)).id;
      }
      case 'Firewall': {
        const environment_id = await this.environmentId(owner, environment);
        return (await this.firewalls.create(owner, { environment_id, name }, claim)).id;
      }
      case 'Volume': {
        const { size, type, image } = declared.spec;
        const image_id = image === null ? null : await this.imageId(owner, environment, image);
        return (await this.volumes.create(owner, { name, environment_name: environment, size, volume_type: type as 'Cloud-SSD', image_id })).id;
      }
      case 'Profile': {
        const { description, data } = declared.spec;
        return (await this.profiles.create(owner, { name, description, data }, claim)).id;
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

  private async setRules(owner: LeasedOwner, id: number, declared: Extract<DeclaredResource, { kind: 'Firewall' }>): Promise<void> {
    await setRules(declared.spec.rules, {
      present: (await this.firewalls.get(owner.organizationId, id)).rules as unknown as PresentRule[],
      add: (rule) => this.firewalls.addRule(owner, id, rule),
      remove: (ruleId) => this.firewalls.removeRule(owner, id, ruleId),
    });
  }

  /** As names of images are understood when a machine is made: the organization's own before those of everybody. */
  private async imageId({ organizationId }: LeasedOwner, environment: string, name: string): Promise<number> {
    const [row] = await this.dataSource.query<{ id: number }[]>(
      `SELECT i.id FROM image i JOIN environment e ON e.region_id = i.region_id
        WHERE e.organization_id = $1 AND e.name = $2 AND e.deleted_at IS NULL AND i.name = $3 AND i.deleted_at IS NULL
          AND (i.organization_id = $1 OR i.organization_id IS NULL) ORDER BY i.organization_id NULLS LAST LIMIT 1`,
      [organizationId, environment, name],
    );
    if (row === undefined) throw new ApiError(404, `There is no image ${JSON.stringify(name)} in the region of the environment ${environment}.`);
    return row.id;
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
