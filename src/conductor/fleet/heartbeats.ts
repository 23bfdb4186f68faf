/**
 * Signs of life, batched: one write a half second for all nodes, to a table that nothing else locks. A beat that
 * brings an inventory is written before it is answered, so that the worker may forget that it was new.
 */
import { Injectable, Logger, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { ComputeNodeId } from '../../protocol/ids.js';
import type { Heartbeat } from '../../protocol/node.js';

const FLUSH_MS = 500;

@Injectable()
export class Heartbeats implements OnModuleInit, OnModuleDestroy {
  private readonly logger = new Logger(Heartbeats.name);
  private beaten = new Set<ComputeNodeId>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly dataSource: DataSource) {}

  onModuleInit(): void {
    this.timer = setInterval(() => void this.flush(), FLUSH_MS);
  }

  async onModuleDestroy(): Promise<void> {
    clearInterval(this.timer);
    await this.flush();
  }

  async beat(nodeId: ComputeNodeId, heartbeat: Heartbeat): Promise<void> {
    if (heartbeat.inventory === undefined) {
      this.beaten.add(nodeId);
      return;
    }
    await this.dataSource.query(
      `UPDATE compute_node_heartbeat SET beat_at = now(), inventory_digest = $2, inventory = $3
        WHERE compute_node_id = $1`,
      [nodeId, heartbeat.inventoryDigest, JSON.stringify(heartbeat.inventory)],
    );
  }

  private async flush(): Promise<void> {
    if (this.beaten.size === 0) return;
    const nodes = [...this.beaten];
    this.beaten = new Set();
    await this.dataSource
      .query('UPDATE compute_node_heartbeat SET beat_at = now() WHERE compute_node_id = ANY($1)', [nodes])
      .catch((error: Error) => this.logger.warn(`Signs of life of ${nodes.length} node(s) were not written: ${error.message}`));
  }
}
