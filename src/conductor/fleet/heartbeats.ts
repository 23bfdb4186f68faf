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
  /** With the sequence of each beat. */
  readonly nodes: Map<ComputeNodeId, number | null>;
  readonly written: Promise<void>;
}

const WRITE_BEATS = `
  UPDATE compute_node_heartbeat h SET beat_at = clock_timestamp(), inventory_sequence = b.sequence
    FROM unnest($1::int[], $2::bigint[]) AS b(node, sequence) WHERE h.compute_node_id = b.node`;

@Injectable()
export class Heartbeats {
  private gathering: Batch | undefined;

  constructor(private readonly dataSource: DataSource) {}

  async beat(nodeId: ComputeNodeId, heartbeat: Heartbeat): Promise<void> {
    if (heartbeat.inventory === undefined) {
      this.gathering ??= this.gather();
      this.gathering.nodes.set(nodeId, heartbeat.sequence ?? null);
      return await this.gathering.written;
    }
    await this.dataSource.query(
      `UPDATE compute_node_heartbeat
          SET beat_at = clock_timestamp(), inventory_digest = $2, inventory = $3, snapshots = $4, foreign_domains = $5, inventory_sequence = $6
        WHERE compute_node_id = $1`,
      [
        nodeId,
        heartbeat.inventoryDigest,
        JSON.stringify(heartbeat.inventory),
        JSON.stringify(heartbeat.snapshots ?? []),
        JSON.stringify(heartbeat.foreign ?? []),
        heartbeat.sequence ?? null,
      ],
    );
  }

  private gather(): Batch {
    const nodes = new Map<ComputeNodeId, number | null>();
    const written = new Promise<void>((resolve, reject) => {
      setTimeout(() => {
        this.gathering = undefined;
        this.dataSource
          .query(WRITE_BEATS, columnsOf(nodes))
          .then(() => resolve(), reject);
      }, GATHER_MS);
    });
    return { nodes, written };
  }
}

function columnsOf(nodes: ReadonlyMap<ComputeNodeId, number | null>): [ComputeNodeId[], (number | null)[]] {
  const sorted = [...nodes].sort(([a], [b]) => a - b);
  return [sorted.map(([node]) => node), sorted.map(([, sequence]) => sequence)];
}
