/**
 * How the file of a snapshot leaves its node: as that of a volume does (`volume-removals.ts`), named in the answers to
 * heartbeats until the worker says that it is gone. Named are also copies that came too late: the inventory has them,
 * but their snapshot has failed or is gone. What the database has never heard of is not touched: fsck tells of it.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { ComputeNodeId, SnapshotUuid } from '../../protocol/ids.js';
import { CallbackDeliverer } from '../callbacks/callback-deliverer.js';
import { writeSnapshotNews } from './snapshot-news.js';

/** What is left is named in the next answer. */
const MOST_AT_ONCE = 100;

const ASKED = `
  SELECT uuid FROM snapshot WHERE compute_node_id = $1 AND removal_requested_at IS NOT NULL AND deleted_at IS NULL
  UNION
  SELECT s.uuid
    FROM compute_node_heartbeat h CROSS JOIN jsonb_array_elements_text(h.snapshots) AS held(uuid)
    JOIN snapshot s ON s.uuid = held.uuid::uuid
   WHERE h.compute_node_id = $1 AND (s.deleted_at IS NOT NULL OR s.state = 'ERROR')
   LIMIT ${MOST_AT_ONCE}`;

/** Their events are of these: VMs are locked before nodes, by everybody. */
const LOCK_VMS = `
  SELECT 1 FROM virtual_machine
   WHERE id IN (SELECT virtual_machine_id FROM snapshot WHERE uuid = ANY($2) AND compute_node_id = $1) ORDER BY id FOR KEY SHARE`;

const CONFIRM = `
  WITH gone AS (
    UPDATE snapshot s SET deleted_at = now(), updated_at = now(), claimed_gib = 0
      FROM snapshot old
     WHERE s.id = old.id AND s.uuid = ANY($2) AND s.compute_node_id = $1 AND s.removal_requested_at IS NOT NULL AND s.deleted_at IS NULL
    RETURNING s.id, old.claimed_gib
  ), updated_node AS (
    UPDATE compute_node SET disk_gib_used = disk_gib_used - (SELECT sum(claimed_gib) FROM gone)
     WHERE id = $1 AND EXISTS (SELECT 1 FROM gone)
  )
  SELECT id FROM gone`;

@Injectable()
export class SnapshotRemovals {
  constructor(
    private readonly dataSource: DataSource,
    private readonly deliverer: CallbackDeliverer,
  ) {}

  async askedOf(nodeId: ComputeNodeId): Promise<SnapshotUuid[]> {
    const rows = await this.dataSource.query<{ uuid: SnapshotUuid }[]>(ASKED, [nodeId]);
    return rows.map(({ uuid }) => uuid);
  }

  /** What is not on this node, was not to go or is gone already, is left as it is. */
  async confirm(nodeId: ComputeNodeId, snapshots: readonly SnapshotUuid[]): Promise<void> {
    const told = await this.dataSource.transaction(async (transaction) => {
      await transaction.query(LOCK_VMS, [nodeId, snapshots]);
      const gone = await transaction.query<{ id: number }[]>(CONFIRM, [nodeId, snapshots]);
      return await writeSnapshotNews(transaction, gone.map(({ id }) => ({ snapshotId: id, news: 'removed' as const, userId: null })));
    });
    if (told) this.deliverer.wake();
  }
}
