/**
 * Makes volumes larger. The claim on the node and the organization's quota grow in the transaction that writes the new
 * size, or nothing changes. A volume that is with a VM grows there at once, running or not: its size is part of the VM's
 * desired state. The file of one that is not grows when it is attached next.
 *
 * The race it excludes: attaching and detaching. They lock the VM before the volume, so the VM of an attached one is
 * locked first here too, and whether it is still the one is looked at again under both locks.
 */
import type { EntityManager } from 'typeorm';
import type { VmId } from '../../protocol/ids.js';
import { ApiError, badRequest } from '../http/api-error.js';
import type { Principal } from '../identity/principal.js';
import type { VmStatus } from '../virtual-machines/vm-status.js';
import { renewVmVolumes } from './vm-volumes-update.js';
import { lockVolume, type LockedVolume } from './volume-lock.js';
import { claimDisk, noRoom } from './volume-place.js';
import { deriveVolumeStatus } from './volume-view.js';

const GROWS_WITH_VM: readonly VmStatus[] = ['ACTIVE', 'SHUTOFF'];

/** To be followed, after the commit, by waking the relay. @throws ApiError 400, 404, 409; 403 by the quota. */
export async function growVolume(transaction: EntityManager, { organizationId, userId }: Principal, id: number, sizeGib: number): Promise<void> {
  const [held] = await transaction.query<{ id: VmId }[]>(
    `SELECT vm.id FROM virtual_machine vm
      WHERE vm.id = (SELECT a.virtual_machine_id FROM volume_attachment a JOIN volume v ON v.id = a.volume_id
                      WHERE v.id = $1 AND v.organization_id = $2 AND a.status <> 'DETACHED') FOR UPDATE`,
    [id, organizationId],
  );
  const volume = await lockVolume(transaction, organizationId, id);
  if (volume.vm_id !== (held?.id ?? null))
    throw new ApiError(409, `The volume '${volume.name}' is being attached or detached. Try again in a moment.`, 'conflict');
  refuseUnlessItCanGrow(volume, sizeGib);
  const more = sizeGib - volume.size_gib;
  if (volume.compute_node_id !== null && !(await claimDisk(transaction, volume.compute_node_id, more)))
    throw noRoom(volume.node!, more, 'keep the volume as it is');
  await transaction.query('UPDATE volume SET size_gib = $2, updated_at = now() WHERE id = $1', [id, sizeGib]);
  await transaction.query(
    `INSERT INTO event (organization_id, virtual_machine_id, user_id, reason, object, message)
     VALUES ($1, $2, $3, 'VolumeGrowthRequest', $4, $5)`,
    [
      organizationId,
      volume.vm_id,
      userId,
      volume.vm ?? volume.name,
      `The volume '${volume.name}' grows from ${volume.size_gib} to ${sizeGib} GiB.`,
    ],
  );
  if (volume.vm_id !== null) await renewVmVolumes(transaction, volume.vm_id);
}

function refuseUnlessItCanGrow(volume: LockedVolume, sizeGib: number): void {
  const { name, size_gib, vm, vm_status, stage, attachment } = volume;
  const status = deriveVolumeStatus(stage, attachment);
  if (status !== 'available' && status !== 'in-use')
    throw badRequest(`The volume '${name}' is ${status}; it can grow when it is available or in-use.`);
  if (vm_status !== null && !GROWS_WITH_VM.includes(vm_status))
    throw badRequest(`The volume '${name}' is with ${vm}, which is ${vm_status}; it can grow when ${vm} is ${GROWS_WITH_VM.join(' or ')}.`);
  if (sizeGib <= size_gib)
    throw badRequest(`The volume '${name}' has ${size_gib} GiB: a volume can only grow. Ask for a size above that.`);
}
