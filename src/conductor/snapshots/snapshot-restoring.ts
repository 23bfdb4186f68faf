/**
 * Makes a virtual machine of a snapshot: in the environment, of the flavor and with the keys that its VM had, on the node
 * that has the copy. Everything else is a creation like any other (`vm-creation.ts`): placement, claims, quota, names.
 *
 * User data is not taken over: it would run once more on a disk that it has already made what it is.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { ComputeNodeId, IncarnationId, OrganizationId, SnapshotUuid, VmId } from '../../protocol/ids.js';
import type { ImageSpec } from '../../protocol/task.js';
import { badRequest, notFound } from '../http/api-error.js';
import { Idempotency, type IdempotentRequest } from '../idempotency/idempotency.js';
import type { Principal } from '../identity/principal.js';
import { freeAddresses } from '../networks/fixed-addresses.js';
import { VmCreation } from '../virtual-machines/vm-creation.js';
import type { KeyFacts, ResolvedRequest } from '../virtual-machines/vm-request.js';
import type { CreateInstancesResponse, InstanceFields } from '../virtual-machines/vm.responses.js';
import { statusOf, type SnapshotState } from './snapshot-status.js';
import { SNAPSHOT } from './snapshots.service.js';

interface Source {
  readonly id: number;
  readonly uuid: SnapshotUuid;
  readonly name: string;
  readonly state: SnapshotState;
  readonly removing: boolean;
  readonly node: ComputeNodeId;
  readonly size_gib: number;
  readonly environment: ResolvedRequest['environment'];
  readonly flavor: ResolvedRequest['flavor'] & { readonly id: number };
  readonly image: { readonly id: number; readonly name: string; readonly spec: ImageSpec };
  readonly keys: readonly KeyFacts[];
  readonly vm_id: VmId;
  readonly incarnation_id: IncarnationId;
}

/** Keys as the VM has them: their keypairs may be gone. */
const SOURCE = `
  SELECT s.id, s.uuid, s.name, s.state, s.removal_requested_at IS NOT NULL AS removing, s.compute_node_id AS node, s.size_gib,
         json_build_object('id', e.id, 'name', e.name, 'region_id', r.id, 'region', r.name, 'green_status', r.green_status,
                           'subnet', e.subnet) AS environment,
         json_build_object('id', f.id, 'name', f.name, 'cpu', f.cpu, 'ram_mib', f.ram_mib, 'disk', f.disk, 'gpu', f.gpu,
                           'gpu_count', f.gpu_count, 'auto_recover', false) AS flavor,
         json_build_object('id', i.id, 'name', i.name, 'spec', vm.hardware->'image') AS image,
         (SELECT json_agg(json_build_object('id', k.keypair_id, 'name', k.name, 'public_key', k.public_key) ORDER BY k.position)
            FROM virtual_machine_keypair k WHERE k.virtual_machine_id = vm.id) AS keys,
         nextval('virtual_machine_id_seq')::int AS vm_id, nextval('incarnation_id_seq')::int AS incarnation_id
    FROM snapshot s
    JOIN environment e ON e.id = s.environment_id
    JOIN region r ON r.id = e.region_id
    JOIN flavor f ON f.id = s.flavor_id
    JOIN virtual_machine vm ON vm.id = s.virtual_machine_id
    JOIN image i ON i.id = vm.image_id
   WHERE s.organization_id = $1 AND s.id = $2 AND s.deleted_at IS NULL`;

@Injectable()
export class SnapshotRestoring {
  constructor(
    private readonly dataSource: DataSource,
    private readonly creation: VmCreation,
    private readonly idempotency: Idempotency,
  ) {}

  /** @throws ApiError 404; 400 when it is not complete; and what a creation throws. */
  async restore(principal: Principal, id: number, name: string, idempotent?: IdempotentRequest): Promise<InstanceFields> {
    // The snapshot of a restoration that was answered may be gone by now.
    const first = idempotent && (await this.idempotency.firstAnswer<CreateInstancesResponse>(principal.organizationId, idempotent));
    if (first !== undefined) return first.instances[0]!;
    const source = await this.source(principal.organizationId, id);
    const payload = {
      name,
      environment_name: source.environment.name,
      flavor_name: source.flavor.name,
      image_name: source.image.name,
    };
    const resolve = async (): Promise<ResolvedRequest> => this.resolved(await this.source(principal.organizationId, id), name);
    const { instances } = await this.creation.createResolved(principal, payload, resolve, idempotent);
    return instances[0]!;
  }

  private async source(organizationId: OrganizationId, id: number): Promise<Source> {
    const [source] = await this.dataSource.query<Source[]>(SOURCE, [organizationId, id]);
    if (source === undefined) throw notFound(SNAPSHOT);
    const status = statusOf(source.state, source.removing);
    if (status !== 'SUCCESS') throw badRequest(`The snapshot '${source.name}' is ${status}; it can be restored when it is SUCCESS.`);
    if (source.flavor.disk < source.size_gib)
      throw badRequest(
        `The disk of the snapshot '${source.name}' has ${source.size_gib} GB and the flavor ${source.flavor.name} of its virtual machine ${source.flavor.disk}. Make an image of the snapshot, and with it a virtual machine of a larger flavor.`,
      );
    return source;
  }

  /** @throws ApiError 409 when the environment has no address free. */
  private async resolved(source: Source, name: string): Promise<ResolvedRequest> {
    const { name: image, ...files } = source.image.spec;
    return {
      environment: source.environment,
      flavor: source.flavor,
      image: {
        id: source.image.id,
        name: image,
        files: { ...files, disk: { snapshot: source.uuid, format: 'qcow2' } },
        snapshot: { id: source.id, node: source.node, restored: true },
      },
      bootVolume: null,
      keys: source.keys,
      names: [name],
      vmIds: [source.vm_id],
      incarnationIds: [source.incarnation_id],
      addresses: await freeAddresses(this.dataSource, source.environment, 1),
    };
  }
}
