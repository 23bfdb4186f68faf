/**
 * From the names in a creation request to the rows they mean, in one query that also draws the ids: everything that
 * is to be inserted, and the answer itself, is known before the transaction begins.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { ComputeNodeId, IncarnationId, OrganizationId, RegionId, VmId, VolumeUuid } from '../../protocol/ids.js';
import type { ImageSpec } from '../../protocol/task.js';
import type { ImageStatus } from '../catalog/image.entity.js';
import { PreparedStatement } from '../database/prepared-statement.js';
import { badRequest, notFound } from '../http/api-error.js';
import { CustomFlavors } from './custom-flavors.js';
import { requireOneSize } from './size.request.js';
import { drawAddresses, freeAddresses } from '../networks/fixed-addresses.js';
import type { CreateInstancesPayload } from './vm.requests.js';
import type { EnvironmentFacts, FlavorFacts } from './vm-view.js';
import { memorableName, namesFor } from './vm-names.js';

export interface KeyFacts {
  /** Null where the keypair is gone, and a VM that had it is made anew. */
  readonly id: number | null;
  readonly name: string;
  readonly public_key: string;
}

/** As it was seen when names were resolved; whether it is still free is looked at under its lock. */
export interface BootVolumeFacts {
  readonly id: number;
  readonly uuid: VolumeUuid;
  readonly name: string;
  readonly description: string;
  readonly size: number;
  readonly volume_type: string;
  readonly image_id: number | null;
  readonly compute_node_id: ComputeNodeId;
}

export interface SnapshotFacts {
  readonly id: number;
  readonly node: ComputeNodeId;
  /** It is named itself, and not the image that was made of it. */
  readonly restored?: true;
}

/** A creation request with every name resolved. */
export interface ResolvedRequest {
  readonly environment: EnvironmentFacts & { readonly region_id: RegionId; readonly subnet: string };
  /** Without an id: made to measure, and to become a row with its first VM. `auto_recover`: the flavor wants it, or the organization. */
  readonly flavor: Omit<FlavorFacts, 'id'> & { readonly id: number | null; readonly auto_recover: boolean };
  readonly image: {
    readonly id: number;
    readonly name: string;
    readonly files: Omit<ImageSpec, 'name'>;
    /** That it was made of, and where alone it is. */
    readonly snapshot: SnapshotFacts | null;
  };
  /** An existing volume to boot from. */
  readonly bootVolume: BootVolumeFacts | null;
  readonly keys: readonly KeyFacts[];
  readonly names: readonly string[];
  readonly vmIds: readonly VmId[];
  readonly incarnationIds: readonly IncarnationId[];
  /** Free ones of the environment's subnet; the database judges whether they still are. */
  readonly addresses: readonly string[];
}

interface ResolutionRow {
  readonly environment: ResolvedRequest['environment'] | null;
  readonly flavor: ResolvedRequest['flavor'] | null;
  readonly image: (ResolvedRequest['image'] & { readonly status: ImageStatus; readonly min_disk: number }) | null;
  /** The organization wants it, of every flavor. */
  readonly auto_recover: boolean;
  readonly boot_volume: BootVolumeFacts | null;
  readonly keys: KeyFacts[] | null;
  readonly vm_ids: VmId[];
  readonly incarnation_ids: IncarnationId[];
  readonly addresses: string[];
}

const RESOLVE = new PreparedStatement<ResolutionRow>(
  'resolve virtual machine request',
  `
  WITH environment AS (
    SELECT e.id, e.name, e.region_id, e.subnet, r.name AS region, r.green_status
      FROM environment e JOIN region r ON r.id = e.region_id
     WHERE e.organization_id = $1 AND e.name = $2 AND e.deleted_at IS NULL),
  named_image AS (
    SELECT i.id FROM image i, environment
     WHERE i.region_id = environment.region_id AND i.name = $4 AND i.deleted_at IS NULL
       AND (i.organization_id = $1 OR i.organization_id IS NULL)
     ORDER BY i.organization_id NULLS LAST LIMIT 1),
  boot_volume AS (
    SELECT v.id, v.uuid, v.name, v.description, v.size_gib AS size, v.volume_type, v.image_id, v.compute_node_id
      FROM volume v, environment WHERE v.environment_id = environment.id AND v.name = $7 AND v.deleted_at IS NULL)
  SELECT (SELECT to_json(environment) FROM environment) AS environment,
         (SELECT json_build_object('id', f.id, 'name', f.name, 'cpu', f.cpu, 'ram_mib', f.ram_mib, 'disk', f.disk,
                                   'gpu', f.gpu, 'gpu_count', f.gpu_count, 'auto_recover', f.auto_recover)
            FROM flavor f, environment WHERE f.region_id = environment.region_id AND f.name = $3 AND f.custom = $8) AS flavor,
         (SELECT o.auto_recover FROM organization o WHERE o.id = $1) AS auto_recover,
         (SELECT to_json(boot_volume) FROM boot_volume) AS boot_volume,
         (SELECT json_build_object('id', i.id, 'name', i.name, 'files', i.files, 'status', i.status, 'min_disk', i.min_disk_gib,
                   'snapshot', (SELECT json_build_object('id', s.id, 'node', s.compute_node_id) FROM snapshot s WHERE s.id = i.snapshot_id))
            FROM image i WHERE i.id = coalesce((SELECT image_id FROM boot_volume), (SELECT id FROM named_image))) AS image,
         (SELECT json_agg(json_build_object('id', k.id, 'name', k.name, 'public_key', k.public_key))
            FROM keypair k, environment WHERE k.environment_id = environment.id AND k.name = ANY($5)) AS keys,
         ARRAY(SELECT nextval('virtual_machine_id_seq')::int FROM generate_series(1, $6)) AS vm_ids,
         ARRAY(SELECT nextval('incarnation_id_seq')::int FROM generate_series(1, $6)) AS incarnation_ids,
         ${drawAddresses('environment', '$6::int')} AS addresses`,
);

@Injectable()
export class VmRequests {
  constructor(
    private readonly dataSource: DataSource,
    private readonly flavors: CustomFlavors,
  ) {}

  /** @throws ApiError 404 for a name that means nothing here, 400 for a request that contradicts itself, 409 when the subnet is full. */
  async resolve(organizationId: OrganizationId, request: CreateInstancesPayload): Promise<ResolvedRequest> {
    const count = request.count ?? 1;
    const keyNames = [...new Set([...(request.key_names ?? []), ...(request.key_name ? [request.key_name] : [])])];
    if (keyNames.length === 0) throw badRequest('Name at least one keypair in key_name or key_names.');
    const names = namesFor(request.name ?? memorableName(), count);
    if (names.at(-1)!.length > 50)
      throw badRequest(`name is too long: ${names.at(-1)} has more than 50 characters.`);

    const { environment_name, image_name, flavor } = request;
    const volumeName = bootVolumeName(request);
    requireOneSize(request);
    const custom = flavor ? this.flavors.measure(flavor) : null;
    const flavorName = custom?.name ?? request.flavor_name!;
    const parameters = [organizationId, environment_name, flavorName, image_name ?? null, keyNames, count, volumeName ?? null, custom !== null];
    const [row] = (await RESOLVE.run(this.dataSource, parameters)) as [ResolutionRow];
    if (row.environment === null) throw notFound(`The environment ${quoted(environment_name)}`);
    const size = row.flavor ?? (custom && { ...custom, id: null, auto_recover: false });
    if (size === null) throw notFound(`The flavor ${quoted(flavorName)} in region ${row.environment.region}`);
    if (volumeName !== undefined) refuseUnlessBootable(volumeName, row);
    if (row.image === null) throw notFound(`The image ${quoted(image_name!)} in region ${row.environment.region}`);
    refuseUnusable(row.image, size, row.boot_volume);
    const keys = keyNames.map((name) => {
      const key = row.keys?.find((candidate) => candidate.name === name);
      if (key === undefined) throw notFound(`The keypair ${quoted(name)} in environment ${row.environment!.name}`);
      return key;
    });
    return {
      environment: row.environment,
      flavor: { ...size, auto_recover: size.auto_recover || row.auto_recover },
      image: row.image,
      bootVolume: row.boot_volume,
      keys,
      names,
      vmIds: row.vm_ids,
      incarnationIds: row.incarnation_ids,
      addresses: new Set(row.addresses).size === count ? row.addresses : await freeAddresses(this.dataSource, row.environment, count),
    };
  }
}

/** What was made of the image already does not need it any more. */
function refuseUnusable(
  { id, name, status, min_disk }: NonNullable<ResolutionRow['image']>,
  flavor: Pick<FlavorFacts, 'name' | 'disk'>,
  bootVolume: BootVolumeFacts | null,
): void {
  if (bootVolume !== null) return;
  if (status !== 'available')
    throw badRequest(`The image ${quoted(name)} cannot be used: its status is ${status}. GET /v1/core/images/${id} says why.`);
  if (flavor.disk < min_disk)
    throw badRequest(
      `The image ${quoted(name)} needs a disk of at least ${min_disk} GB, and the flavor ${flavor.name} has ${flavor.disk}. Choose a larger flavor.`,
    );
}

/** @throws ApiError 400 where it is not said, or said twice, what the VM boots from. */
function bootVolumeName({ image_name, volume_name, create_bootable_volume, count = 1 }: CreateInstancesPayload): string | undefined {
  if (!volume_name) {
    if (!image_name) throw badRequest('image_name is required, unless volume_name names a volume to boot from.');
    return undefined;
  }
  if (image_name) throw badRequest('Leave image_name out when the virtual machine boots from the volume of volume_name.');
  if (create_bootable_volume === true) throw badRequest('Either create_bootable_volume or volume_name: the virtual machine boots from one volume.');
  if (count > 1) throw badRequest('A volume boots one virtual machine: with volume_name, count must be 1.');
  return volume_name;
}

function refuseUnlessBootable(volumeName: string, { environment, boot_volume }: ResolutionRow): void {
  if (boot_volume === null) throw notFound(`The volume ${quoted(volumeName)} in environment ${environment!.name}`);
  if (boot_volume.image_id === null)
    throw badRequest(`The volume ${quoted(volumeName)} is not bootable: it was made of no image. Create one with image_id.`);
}

/** What the user typed, safe to show again. */
const quoted = (name: string): string => JSON.stringify(name.slice(0, 60));
