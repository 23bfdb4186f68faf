/**
 * VMs that boot from a volume in place of a disk of their own: from one that is there (`volume_name`), or each from one
 * that is made with it (`create_bootable_volume`) and outlives it. The volume's room on the node is the volume's claim, so
 * the VM claims no disk.
 *
 * Races: an existing volume is locked and looked at before the VM is inserted; the unique index on live attachments is
 * the last guard. Locks go from volumes to nodes, as for attaching.
 */
import { randomUUID } from 'node:crypto';
import type { EntityManager } from 'typeorm';
import type { VolumeUuid } from '../../protocol/ids.js';
import type { Principal } from '../identity/principal.js';
import { lockVolume, refuseUnlessAvailable } from '../volumes/volume-lock.js';
import type { VmAttachmentRow } from '../volumes/volume-view.js';
import { VOLUME_TYPES } from '../volumes/volume.requests.js';
import { FIRST_GENERATION, type VmInsertion } from './vm-insertion.js';
import type { ResolvedRequest } from './vm-request.js';
import type { CreateInstancesPayload } from './vm.requests.js';

export interface RootVolume {
  readonly attachmentId: number;
  readonly isNew: boolean;
  readonly volume: {
    readonly id: number;
    readonly uuid: VolumeUuid;
    readonly name: string;
    readonly description: string;
    readonly size: number;
    readonly volume_type: string;
  };
}

const NEW = `json_to_recordset($1) AS
  r(id int, uuid uuid, name text, description text, size int, volume_type text, is_new boolean, attachment_id int, vm_id int, node int)`;

/** Of the VM's name, so that the id beside it still fits into the name of a volume. */
const NAME_LENGTH = 32;

export function rootOf({ create_bootable_volume }: CreateInstancesPayload, { bootVolume }: ResolvedRequest): 'own disk' | 'new volume' | 'volume' {
  if (bootVolume !== null) return 'volume';
  return create_bootable_volume === true ? 'new volume' : 'own disk';
}

/** One for each VM, with the ids that they will have; none where the VMs have disks of their own. @throws ApiError 400 for a volume that is not free. */
export async function rootVolumes(
  transaction: EntityManager,
  organizationId: Principal['organizationId'],
  resolved: ResolvedRequest,
  root: ReturnType<typeof rootOf>,
): Promise<RootVolume[]> {
  if (root === 'own disk') return [];
  const ids = await transaction.query<{ attachment: number; volume: number }[]>(
    `SELECT nextval(pg_get_serial_sequence('volume_attachment', 'id'))::int AS attachment,
            ${root === 'new volume' ? `nextval(pg_get_serial_sequence('volume', 'id'))::int` : '0'} AS volume
       FROM generate_series(1, $1)`,
    [resolved.names.length],
  );
  const { bootVolume, flavor, vmIds } = resolved;
  if (bootVolume === null)
    return resolved.names.map((name, index) => ({
      attachmentId: ids[index]!.attachment,
      isNew: true,
      volume: {
        id: ids[index]!.volume,
        uuid: randomUUID() as VolumeUuid,
        // By the VM's id, because the volume is still there when another VM has the name.
        name: `${name.slice(0, NAME_LENGTH)}-root-${vmIds[index]}`,
        description: `What ${name} boots from`,
        size: flavor.disk,
        volume_type: VOLUME_TYPES[0],
      },
    }));
  const locked = await lockVolume(transaction, organizationId, bootVolume.id);
  refuseUnlessAvailable(locked, 'booted from');
  return [{ attachmentId: ids[0]!.attachment, isNew: false, volume: { ...bootVolume, size: locked.size_gib } }];
}

/** After the VMs: the volumes that are new, and who boots from which. Their room was claimed with that of the VMs. */
export async function insertRootVolumes(
  transaction: EntityManager,
  { organizationId, userId }: Principal,
  resolved: ResolvedRequest,
  { vms }: VmInsertion,
  roots: readonly RootVolume[],
): Promise<void> {
  if (roots.length === 0) return;
  const rows = roots.map(({ attachmentId, isNew, volume }, index) => ({
    ...volume,
    is_new: isNew,
    attachment_id: attachmentId,
    vm_id: vms[index]!.id,
    node: vms[index]!.node,
  }));
  await transaction.query(
    `INSERT INTO volume (id, uuid, organization_id, environment_id, user_id, name, description, size_gib, volume_type, image_id, compute_node_id)
     SELECT r.id, r.uuid, $2, $3, $4, r.name, r.description, r.size, r.volume_type, $5, r.node FROM ${NEW} WHERE r.is_new`,
    [JSON.stringify(rows), organizationId, resolved.environment.id, userId, resolved.image.id],
  );
  await transaction.query(
    `INSERT INTO volume_attachment (id, volume_id, virtual_machine_id, protected, root, status, generation)
     SELECT r.attachment_id, r.id, r.vm_id, false, true, 'ATTACHING', $2 FROM ${NEW}`,
    [JSON.stringify(rows), FIRST_GENERATION],
  );
}

export const shownRootVolume = ({ attachmentId, volume }: RootVolume, createdAt: Date): VmAttachmentRow => ({
  id: attachmentId,
  uuid: volume.uuid,
  protected: false,
  status: 'ATTACHING',
  created_at: createdAt.toISOString(),
  volume: { id: volume.id, name: volume.name, description: volume.description, size: volume.size, volume_type: volume.volume_type, bootable: true },
});
