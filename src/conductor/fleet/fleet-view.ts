/**
 * The conductor's picture of the fleet, for placement. It is a hint: at most a second old, with this conductor's own
 * claims added at once, and the claim itself is judged by the database. Losing that judgement is answered with
 * `refresh`.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import type { ComputeNodeId, RegionId } from '../../protocol/ids.js';
import type { Amounts, NodeView } from '../scheduling/node-view.js';

/** Milliseconds for which a picture is good enough to place by. */
const FRESH_MS = 1_000;

interface NodeRow {
  readonly id: ComputeNodeId;
  readonly name: string;
  readonly region_id: RegionId;
  readonly up: boolean;
  readonly draining: boolean;
  readonly cpus: number;
  readonly vcpus_total: number;
  readonly vcpus_used: number;
  readonly memory_mib_total: number;
  readonly memory_mib_used: number;
  readonly disk_gib_total: number;
  readonly disk_gib_used: number;
  readonly gpus: { model: string; total: number; used: number }[] | null;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };
type OwnView = Omit<NodeView, 'used'> & { readonly used: Mutable<Amounts> };

@Injectable()
export class FleetView {
  private views: OwnView[] = [];
  private byId = new Map<ComputeNodeId, OwnView>();
  private loadedAt = -Infinity;
  private loading: Promise<void> | undefined;

  constructor(
    private readonly dataSource: DataSource,
    @InjectConfig() private readonly config: Config,
  ) {}

  async nodes(): Promise<readonly NodeView[]> {
    if (performance.now() - this.loadedAt > FRESH_MS) await this.refresh();
    return this.views;
  }

  /** Reads the fleet anew; callers at the same time share one reading. */
  async refresh(): Promise<void> {
    this.loading ??= this.load().finally(() => (this.loading = undefined));
    await this.loading;
  }

  /** Adds a claim that the database has granted, until the next refresh brings it anyway. */
  noteClaim(nodeId: ComputeNodeId, amounts: Amounts): void {
    const view = this.byId.get(nodeId);
    if (view === undefined) return;
    view.used.vcpus += amounts.vcpus;
    view.used.memoryMib += amounts.memoryMib;
    view.used.diskGib += amounts.diskGib;
  }

  private async load(): Promise<void> {
    const rows = await this.dataSource.query<NodeRow[]>(
      `SELECT n.id, n.name, n.region_id, n.draining, n.cpus, n.vcpus_total, n.vcpus_used, n.memory_mib_total,
              n.memory_mib_used, n.disk_gib_total, n.disk_gib_used,
              coalesce(h.beat_at > now() - make_interval(secs => $1), false) AS up,
              (SELECT jsonb_agg(g) FROM compute_node_gpu g WHERE g.compute_node_id = n.id) AS gpus
         FROM compute_node n LEFT JOIN compute_node_heartbeat h ON h.compute_node_id = n.id
        ORDER BY n.id`,
      [this.config.nodeLeaseSeconds],
    );
    this.views = rows.map(toView);
    this.byId = new Map(this.views.map((view) => [view.id, view]));
    this.loadedAt = performance.now();
  }
}

function toView(row: NodeRow): OwnView {
  return {
    id: row.id,
    name: row.name,
    regionId: row.region_id,
    up: row.up,
    draining: row.draining,
    cpus: row.cpus,
    cpuAllocationRatio: row.vcpus_total / row.cpus,
    capacity: { vcpus: row.vcpus_total, memoryMib: row.memory_mib_total, diskGib: row.disk_gib_total },
    used: { vcpus: row.vcpus_used, memoryMib: row.memory_mib_used, diskGib: row.disk_gib_used },
    gpus: new Map((row.gpus ?? []).map(({ model, total, used }) => [model, { total, used }])),
  };
}
