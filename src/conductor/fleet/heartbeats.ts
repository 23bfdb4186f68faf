/**
 * Signs of life, batched: one write for all nodes that beat within a moment, to a table that nothing else locks.
 *
 * A beat is answered only after it is written. The answer is what a worker renews its lease by, and other conductors
 * decide by what is written alone: a beat that was answered and lost would have a VM run twice.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { ComputeNodeId } from '../../protocol/ids.js';
import type { Heartbeat } from '../../protocol/node.js';

const GATHER_MS = 50;

interface Batch {
  readonly nodes: Set<ComputeNodeId>;
  readonly written: Promise<void>;
}

@Injectable()
export class Heartbeats {
  private gathering: Batch | undefined;

  constructor(private readonly dataSource: DataSource) {}

  async beat(nodeId: ComputeNodeId, heartbeat: Heartbeat): Promise<void> {
    if (heartbeat.inventory === undefined) {
      this.gathering ??= this.gather();
      this.gathering.nodes.add(nodeId);
      return await this.gathering.written;
    }
    await this.dataSource.query(
      `UPDATE compute_node_heartbeat SET beat_at = clock_timestamp(), inventory_digest = $2, inventory = $3, snapshots = $4
        WHERE compute_node_id = $1`,
      [nodeId, heartbeat.inventoryDigest, JSON.stringify(heartbeat.inventory), JSON.stringify(heartbeat.snapshots ?? [])],
    );
  }

  private gather(): Batch {
    const nodes = new Set<ComputeNodeId>();
    const written = new Promise<void>((resolve, reject) => {
      setTimeout(() => {
        this.gathering = undefined;
        this.dataSource
          .query('UPDATE compute_node_heartbeat SET beat_at = clock_timestamp() WHERE compute_node_id = ANY($1)', [[...nodes].sort((a, b) => a - b)])
          .then(() => resolve(), reject);
      }, GATHER_MS);
    });
    return { nodes, written };
  }
}
