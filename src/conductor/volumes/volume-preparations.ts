/**
 * How a volume is made of its image on its node. The answer to each heartbeat of the node names the volumes that shall
 * be made, until the worker says that one is there or cannot be; only then it is available, or in error with the reason.
 *
 * A level, like the removal of a file (`volume-removals.ts`): nothing is lost when either side dies in between. A volume
 * that is with a VM is left to that VM's worker, which makes it before the VM starts.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { ComputeNodeId, VolumeUuid } from '../../protocol/ids.js';
import type { ImageSpec } from '../../protocol/task.js';
import type { PreparedVolume, VolumePreparation } from '../../protocol/volume.js';
import { CallbackDeliverer } from '../callbacks/callback-deliverer.js';
import { tellOfVolumes } from './volume-status-changes.js';

/** What is left is named in the next answer. */
const MOST_AT_ONCE = 20;

interface UnpreparedRow {
  readonly uuid: VolumeUuid;
  readonly size_gib: number;
  readonly image_name: string;
  readonly files: Omit<ImageSpec, 'name'>;
}

@Injectable()
export class VolumePreparations {
  constructor(
    private readonly dataSource: DataSource,
    private readonly deliverer: CallbackDeliverer,
  ) {}

  async askedOf(nodeId: ComputeNodeId): Promise<VolumePreparation[]> {
    const rows = await this.dataSource.query<UnpreparedRow[]>(
      `SELECT v.uuid, v.size_gib, i.name AS image_name, i.files
         FROM volume v JOIN image i ON i.id = v.image_id
        WHERE v.compute_node_id = $1 AND v.image_id IS NOT NULL AND v.prepared_at IS NULL AND v.fault IS NULL
          AND v.removal_requested_at IS NULL
          AND NOT EXISTS (SELECT 1 FROM volume_attachment a WHERE a.volume_id = v.id AND a.status <> 'DETACHED')
        ORDER BY v.id LIMIT ${MOST_AT_ONCE}`,
      [nodeId],
    );
    return rows.map(({ uuid, size_gib, image_name, files }) => ({ uuid, sizeGib: size_gib, image: { name: image_name, ...files } }));
  }

  /** What is not on this node, is made already or is on its way out, is left as it is. */
  async confirm(nodeId: ComputeNodeId, volumes: readonly PreparedVolume[]): Promise<void> {
    const told = await this.dataSource.transaction(async (transaction) => {
      const [settled] = await transaction.query<[{ id: number }[], number]>(
        `UPDATE volume v
            SET prepared_at = CASE WHEN p.fault IS NULL THEN now() END, fault = p.fault, updated_at = now()
           FROM json_to_recordset($2) AS p(uuid uuid, fault text)
          WHERE v.uuid = p.uuid AND v.compute_node_id = $1 AND v.image_id IS NOT NULL AND v.prepared_at IS NULL
            AND v.fault IS NULL AND v.removal_requested_at IS NULL
        RETURNING v.id`,
        [nodeId, JSON.stringify(volumes)],
      );
      return tellOfVolumes(transaction, 'create', settled.map(({ id }) => id));
    });
    if (told) this.deliverer.wake();
  }
}
