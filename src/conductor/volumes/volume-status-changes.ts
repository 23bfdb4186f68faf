/**
 * What the world learns of a change of a volume's status: one webhook where it has a `callback_url`. Written in the
 * transaction of the change, so that neither is lost and none is told of what did not happen.
 */
import type { EntityManager } from 'typeorm';
import { renderVolume, SELECT_VOLUME, type VolumeRow } from './volume-view.js';
import type { VolumeFields } from './volume.responses.js';

/** What was asked of the volume when it came to its status. */
export type VolumeOperation = 'create' | 'attach' | 'detach' | 'delete';

/** The operation as Infrahub's receivers know it, and the stem of its events in Infrahub's catalogue. */
const OPERATION: Readonly<Record<VolumeOperation, { readonly name: string; readonly event: string }>> = {
  create: { name: 'createVolume', event: 'VolumeCreation' },
  attach: { name: 'attachVolume', event: 'AttachVolumeToInstance' },
  detach: { name: 'detachVolume', event: 'DetachVolumeToInstance' },
  delete: { name: 'deleteVolume', event: 'VolumeDelete' },
};

function volumeCallbackBody(volume: VolumeFields, operation: VolumeOperation): string {
  const { name, event } = OPERATION[operation];
  return JSON.stringify({
    resource: { id: volume.id, name: volume.name, type: 'volume' },
    operation: { name, status: volume.status, event: `${event}${volume.status === 'error' ? 'Failed' : 'Success'}` },
    data: volume,
  });
}

/** @returns whether there is a webhook to deliver: wake the deliverer after the commit. */
export async function tellOfVolumes(transaction: EntityManager, operation: VolumeOperation, ids: readonly number[]): Promise<boolean> {
  if (ids.length === 0) return false;
  const rows = await transaction.query<(VolumeRow & { organization_id: number })[]>(
    `SELECT shown.*, owner.organization_id
       FROM (${SELECT_VOLUME} WHERE v.id = ANY($1) AND v.callback_url IS NOT NULL) shown JOIN volume owner USING (id) ORDER BY id`,
    [ids],
  );
  if (rows.length === 0) return false;
  const deliveries = rows.map((row) => ({
    organization_id: row.organization_id,
    volume_id: row.id,
    url: row.callback_url,
    body: volumeCallbackBody(renderVolume(row), operation),
  }));
  // Not the transaction's beginning, which two changes of one transaction would share.
  await transaction.query(
    `INSERT INTO callback_delivery (id, organization_id, volume_id, url, body, created_at, available_at)
     SELECT gen_random_uuid(), organization_id, volume_id, url, body, clock_timestamp(), now()
       FROM json_to_recordset($1) AS d(organization_id int, volume_id int, url text, body text)`,
    [JSON.stringify(deliveries)],
  );
  return true;
}
