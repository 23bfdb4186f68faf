/**
 * What reports mean for attachments: ATTACHED when the worker has seen the volume in the domain, DETACHED when it has
 * seen the domain without it, each in the generation that carries the wish or a later one; and DETACHED when the
 * incarnation has ended. In the transaction of the report, which has the VM's row locked. By being ATTACHED a volume's
 * file is known to be there, whether it began empty or was made of its image.
 *
 * A report that does not speak of volumes, as those of a worker from before there were any, changes nothing here.
 */
import type { EntityManager } from 'typeorm';
import type { VmId, VolumeUuid } from '../../protocol/ids.js';
import type { AttachmentStatus } from './volume-attachment.entity.js';
import { tellOfVolumes } from './volume-status-changes.js';

export interface AttachmentNews {
  readonly vmId: VmId;
  /** Nothing is left of the domain. */
  readonly ended: boolean;
  /** What the domain has, and the generation in which that was seen. */
  readonly seen: { readonly generation: number; readonly volumes: readonly VolumeUuid[] } | undefined;
}

const SETTLE = `
  WITH r AS (
    SELECT * FROM json_to_recordset($1) AS r(vm_id int, ended boolean, generation int, volumes jsonb)
  ), settled AS (
    UPDATE volume_attachment a
       SET status = CASE WHEN r.ended OR a.status = 'DETACHING' THEN 'DETACHED' ELSE 'ATTACHED' END,
           detached_at = CASE WHEN r.ended OR a.status = 'DETACHING' THEN now() END
      FROM r, volume v
     WHERE a.virtual_machine_id = r.vm_id AND v.id = a.volume_id AND a.status <> 'DETACHED'
       AND (r.ended OR a.generation <= r.generation
                       AND (a.status = 'ATTACHING' AND r.volumes ? v.uuid::text
                            OR a.status = 'DETACHING' AND NOT r.volumes ? v.uuid::text))
    RETURNING a.virtual_machine_id, a.volume_id, a.status, v.name
  ), prepared AS (
    UPDATE volume v SET prepared_at = now(), fault = NULL
      FROM settled s WHERE v.id = s.volume_id AND s.status = 'ATTACHED' AND v.prepared_at IS NULL
  ), noted AS (
  INSERT INTO event (organization_id, virtual_machine_id, reason, object, message)
  SELECT vm.organization_id, vm.id,
         CASE s.status WHEN 'ATTACHED' THEN 'AttachVolumeToInstanceSuccess' ELSE 'DetachVolumeToInstanceSuccess' END, vm.name,
         format('The volume ''%s'' is %s.', s.name, lower(s.status))
    FROM settled s JOIN virtual_machine vm ON vm.id = s.virtual_machine_id
  )
  SELECT volume_id AS id, status FROM settled`;

/** @returns whether there is a webhook to deliver: wake the deliverer after the commit. */
export async function settleAttachments(transaction: EntityManager, news: readonly AttachmentNews[]): Promise<boolean> {
  const told = news.filter(({ ended, seen }) => ended || seen !== undefined);
  if (told.length === 0) return false;
  const settled = await transaction.query<{ id: number; status: AttachmentStatus }[]>(SETTLE, [
    JSON.stringify(
      told.map(({ vmId, ended, seen }) => ({ vm_id: vmId, ended, generation: seen?.generation ?? 0, volumes: seen?.volumes ?? [] })),
    ),
  ]);
  const having = (status: AttachmentStatus): number[] => settled.filter((volume) => volume.status === status).map(({ id }) => id);
  const attached = await tellOfVolumes(transaction, 'attach', having('ATTACHED'));
  return (await tellOfVolumes(transaction, 'detach', having('DETACHED'))) || attached;
}
