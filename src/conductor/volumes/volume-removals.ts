/**
 * How the file of a deleted volume leaves its node. The answer to each heartbeat of the node names the volumes that
 * shall go, until the worker says that their files are gone; only then the claim is released and the row ends.
 *
 * So nothing is lost when either side dies in between, and the same may be asked and told any number of times. A volume
 * is asked to go only when no attachment of it is left, and one that shall go can never be attached: both hold the
 * lock of its row.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { ComputeNodeId, VolumeUuid } from '../../protocol/ids.js';
import { CallbackDeliverer } from '../callbacks/callback-deliverer.js';
import { tellOfVolumes } from './volume-status-changes.js';

/** What is left is named in the next answer. */
const MOST_AT_ONCE = 100;

@Injectable()
export class VolumeRemovals {
  constructor(
    private readonly dataSource: DataSource,
    private readonly deliverer: CallbackDeliverer,
  ) {}

  async askedOf(nodeId: ComputeNodeId): Promise<VolumeUuid[]> {
    const rows = await this.dataSource.query<{ uuid: VolumeUuid }[]>(
      `SELECT uuid FROM volume
        WHERE compute_node_id = $1 AND removal_requested_at IS NOT NULL AND deleted_at IS NULL
        ORDER BY removal_requested_at LIMIT ${MOST_AT_ONCE}`,
      [nodeId],
    );
    return rows.map(({ uuid }) => uuid);
  }

  /** What is not on this node, was not to go or is gone already, is left as it is. */
  async confirm(nodeId: ComputeNodeId, volumes: readonly VolumeUuid[]): Promise<void> {
    const told = await this.dataSource.transaction(async (transaction) => {
      const gone = await transaction.query<{ id: number }[]>(
        `WITH gone AS (
           UPDATE volume SET deleted_at = now(), updated_at = now()
            WHERE uuid = ANY($2) AND compute_node_id = $1 AND removal_requested_at IS NOT NULL AND deleted_at IS NULL
           RETURNING id, size_gib
         ), released AS (
           UPDATE compute_node SET disk_gib_used = disk_gib_used - (SELECT sum(size_gib) FROM gone)
            WHERE id = $1 AND EXISTS (SELECT 1 FROM gone)
         )
         SELECT id FROM gone`,
        [nodeId, volumes],
      );
      return tellOfVolumes(transaction, 'delete', gone.map(({ id }) => id));
    });
    if (told) this.deliverer.wake();
  }
}
