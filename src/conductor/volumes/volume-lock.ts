/** A volume as it is and as it stays until the transaction ends. What changes a volume locks it so before it looks. */
import type { EntityManager } from 'typeorm';
import type { ComputeNodeId, OrganizationId, RegionId, VmId } from '../../protocol/ids.js';
import { badRequest, notFound } from '../http/api-error.js';
import type { VmStatus } from '../virtual-machines/vm-status.js';
import type { AttachmentStatus } from './volume-attachment.entity.js';
import { deriveVolumeStatus, STAGE, type VolumeStage } from './volume-view.js';

export const VOLUME = 'The volume';

export interface LockedVolume {
  readonly id: number;
  readonly name: string;
  readonly size_gib: number;
  readonly region_id: RegionId;
  readonly compute_node_id: ComputeNodeId | null;
  readonly node: string | null;
  readonly callback_url: string | null;
  readonly stage: VolumeStage;
  /** Of the VM that has it, where one has. */
  readonly attachment: AttachmentStatus | null;
  readonly vm_id: VmId | null;
  readonly vm: string | null;
  readonly vm_status: VmStatus | null;
}

/** @throws ApiError 404 */
export async function lockVolume(transaction: EntityManager, organizationId: OrganizationId, id: number): Promise<LockedVolume> {
  const locked = await transaction.query<unknown[]>(
    'SELECT 1 FROM volume WHERE organization_id = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE',
    [organizationId, id],
  );
  if (locked.length === 0) throw notFound(VOLUME);
  // A statement of its own, after the lock was waited for: it sees what the one before us did.
  const [volume] = await transaction.query<[LockedVolume]>(
    `SELECT v.id, v.name, v.size_gib, e.region_id, v.compute_node_id, n.name AS node, v.callback_url, ${STAGE} AS stage,
            a.status AS attachment, vm.id AS vm_id, vm.name AS vm, vm.status AS vm_status
       FROM volume v
       JOIN environment e ON e.id = v.environment_id
       LEFT JOIN compute_node n ON n.id = v.compute_node_id
       LEFT JOIN volume_attachment a ON a.volume_id = v.id AND a.status <> 'DETACHED'
       LEFT JOIN virtual_machine vm ON vm.id = a.virtual_machine_id
      WHERE v.id = $1`,
    [id],
  );
  return volume;
}

/** @throws ApiError 400 for one that is with a VM, on its way, or could not be made. */
export function refuseUnlessAvailable({ name, stage, attachment, vm }: LockedVolume, done: string): void {
  const status = deriveVolumeStatus(stage, attachment);
  if (status === 'available') return;
  throw badRequest(
    attachment === null
      ? `The volume '${name}' is ${status}.`
      : `The volume '${name}' is ${status} (virtual machine '${vm}'); it can be ${done} when it is detached.`,
  );
}
