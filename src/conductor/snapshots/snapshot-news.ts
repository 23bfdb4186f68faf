/**
 * What the world learns of a snapshot: an event, which is among those of the VM too, and one webhook where the VM has a
 * `callback_url`. Written in the transaction of the change. That it is restored is told where that VM is made, by
 * `vm-insertion.ts`.
 *
 * The webhook is one of the VM, in the form that receivers know, with the snapshot beside it: a receiver that looks at
 * `resource` and `data` alone learns that its VM is what it is.
 */
import type { EntityManager } from 'typeorm';
import type { UserId } from '../../protocol/ids.js';
import { renderVm, SELECT_VM, type VmRow } from '../virtual-machines/vm-view.js';
import { renderSnapshot, SELECT_SNAPSHOT, type SnapshotRow } from './snapshot-view.js';

/** What happened, with the event's reason, the operation in the webhook, and what to say where nothing else is said. */
const NEWS = {
  requested: { reason: 'SnapshotCreateRequest', operation: 'createSnapshot', message: 'A snapshot was requested.' },
  created: { reason: 'SnapshotCreateSuccess', operation: 'createSnapshot', message: 'The snapshot is complete.' },
  failed: { reason: 'SnapshotCreateFailed', operation: 'createSnapshot', message: 'The snapshot could not be taken.' },
  imaged: { reason: 'SnapshotImageCreateSuccess', operation: undefined, message: 'An image was made of the snapshot.' },
  removing: { reason: 'SnapshotDeleteRequest', operation: 'deleteSnapshot', message: 'Deletion was requested.' },
  removed: { reason: 'SnapshotDeleteSuccess', operation: 'deleteSnapshot', message: 'The snapshot is gone.' },
} as const;

export type SnapshotNews = keyof typeof NEWS;

export interface SnapshotChange {
  readonly snapshotId: number;
  readonly news: SnapshotNews;
  readonly message?: string;
  /** Null when the cloud itself did it. */
  readonly userId: UserId | null;
}

type Row = SnapshotRow & { readonly callback_url: string | null };

/** @returns whether there is a webhook to deliver: then wake the deliverer after the commit. */
export async function writeSnapshotNews(transaction: EntityManager, changes: readonly SnapshotChange[]): Promise<boolean> {
  if (changes.length === 0) return false;
  await transaction.query(
    `INSERT INTO event (organization_id, virtual_machine_id, snapshot_id, user_id, type, reason, object, message)
     SELECT s.organization_id, s.virtual_machine_id, s.id, c.user_id, c.type, c.reason, s.name, c.message
       FROM json_to_recordset($1) AS c(id int, user_id int, type text, reason text, message text) JOIN snapshot s ON s.id = c.id`,
    [
      JSON.stringify(
        changes.map(({ snapshotId, news, message, userId }) => ({
          id: snapshotId,
          user_id: userId,
          type: news === 'failed' ? 'warning' : 'normal',
          reason: NEWS[news].reason,
          message: message ?? NEWS[news].message,
        })),
      ),
    ],
  );
  const told = changes.filter(({ news }) => NEWS[news].operation !== undefined);
  const rows = await transaction.query<Row[]>(
    `SELECT q.*, vm.callback_url FROM (${SELECT_SNAPSHOT} WHERE s.id = ANY($1)) AS q
       JOIN virtual_machine vm ON vm.id = q.vm_id WHERE vm.callback_url IS NOT NULL`,
    [told.map(({ snapshotId }) => snapshotId)],
  );
  if (rows.length === 0) return false;
  const vms = await transaction.query<VmRow[]>(`${SELECT_VM} WHERE vm.id = ANY($1)`, [rows.map(({ vm_id }) => vm_id)]);
  for (const { snapshotId, news } of told) {
    const row = rows.find(({ id }) => id === snapshotId);
    const vm = row && vms.find(({ id }) => id === row.vm_id);
    if (vm) await writeCallback(transaction, row, vm, news);
  }
  return true;
}

async function writeCallback(transaction: EntityManager, row: Row, vm: VmRow, news: SnapshotNews): Promise<void> {
  const { callback_url: url, ...rest } = row;
  const snapshot = renderSnapshot(rest);
  await transaction.query(
    `INSERT INTO callback_delivery (id, organization_id, virtual_machine_id, url, body)
     VALUES (gen_random_uuid(), $1, $2, $3, $4)`,
    [
      row.organization_id,
      vm.id,
      url,
      JSON.stringify({
        resource: { id: vm.id, name: vm.name, type: 'virtual_machine' },
        operation: { name: NEWS[news].operation, status: news === 'removed' ? 'DELETED' : snapshot.status },
        data: renderVm(vm),
        snapshot,
      }),
    ],
  );
}
