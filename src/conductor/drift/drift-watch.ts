/**
 * Looks every two seconds for what differs on the nodes, and keeps a row of it while it does: seen first, then acted on
 * (drift-healing.ts) when it has stayed for a moment, and ended when it is over. Where nothing differs nothing is written.
 *
 * Any number of conductors look at once. They find the same: a row is inserted once, by its key, and acted on by the one
 * that holds its lock.
 */
import { Injectable, Logger, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import type { ComputeNodeId } from '../../protocol/ids.js';
import type { Observed } from '../virtual-machines/vm-status.js';
import type { DriftOutcome } from './drift.entity.js';
import { DriftHealing, type OpenDrift } from './drift-healing.js';
import { decide, FLAPPING_MINUTES, PAUSE_SECONDS, POLICY, SETTLING_SECONDS, type DriftKind } from './drift-policy.js';
import { findDrift, SETTLED, type FoundDrift } from './found-drift.js';

const LOOK_MS = 2_000;
const SWEEP_MS = 3_600_000;
const KEPT_DAYS = 7;

interface OpenRow extends OpenDrift {
  readonly domainUuid: string;
  readonly due: boolean;
  /** It would be found if it were still so. */
  readonly visible: boolean;
  readonly observed: Observed | null;
  readonly nodeStopsVms: boolean;
}

const OPEN = `
  SELECT d.id, d.compute_node_id AS "nodeId", n.name AS node, d.domain_uuid AS "domainUuid", d.domain_name AS "domainName", d.kind,
         d.virtual_machine_id AS "vmId", d.incarnation_id AS "incarnationId", d.outcome, d.attempts, vm.observed,
         n.draining AND n.drain_stops AS "nodeStopsVms",
         d.since <= now() - interval '${SETTLING_SECONDS} seconds'
           AND coalesce(d.acted_at <= now() - interval '${PAUSE_SECONDS} seconds', true) AS due,
         h.beat_at > now() - make_interval(secs => n.lease_seconds) AND h.inventory_sequence IS NOT NULL
           AND (vm.id IS NULL OR vm.deleted_at IS NOT NULL OR ${SETTLED}
                AND NOT EXISTS (SELECT 1 FROM incarnation i WHERE i.virtual_machine_id = vm.id AND i.compute_node_id = n.id
                                   AND i.ended_at IS NULL AND i.last_sequence > h.inventory_sequence)) AS visible
    FROM drift d
    JOIN compute_node n ON n.id = d.compute_node_id
    JOIN compute_node_heartbeat h ON h.compute_node_id = n.id
    LEFT JOIN virtual_machine vm ON vm.id = d.virtual_machine_id
   WHERE d.ended_at IS NULL`;

const INSERT = `
  INSERT INTO drift (compute_node_id, domain_uuid, domain_name, kind, virtual_machine_id, incarnation_id, action)
  SELECT node_id, domain_uuid, domain_name, kind, vm_id, incarnation_id, action FROM json_to_recordset($1)
    AS f(node_id int, domain_uuid uuid, domain_name text, kind text, vm_id int, incarnation_id int, action text)
  ON CONFLICT (compute_node_id, domain_uuid, kind) DO UPDATE
     SET ended_at = NULL, since = now(), outcome = 'seen', domain_name = excluded.domain_name, action = excluded.action,
         virtual_machine_id = excluded.virtual_machine_id, incarnation_id = excluded.incarnation_id,
         attempts = CASE WHEN drift.ended_at < now() - interval '${FLAPPING_MINUTES} minutes' THEN 0 ELSE drift.attempts END
   WHERE drift.ended_at IS NOT NULL`;

const END = `
  UPDATE drift d SET ended_at = now(), outcome = e.outcome
    FROM json_to_recordset($1) AS e(id int, outcome text) WHERE d.id = e.id AND d.ended_at IS NULL`;

/** What came and went before anything was done is nothing to remember. */
const FORGET = `DELETE FROM drift WHERE id = ANY($1) AND outcome = 'seen' AND attempts = 0 AND ended_at IS NULL`;

@Injectable()
export class DriftWatch implements OnModuleInit, OnModuleDestroy {
  private readonly logger = new Logger(DriftWatch.name);
  private timers: NodeJS.Timeout[] = [];
  private looking: Promise<void> | undefined;

  constructor(
    private readonly dataSource: DataSource,
    private readonly healing: DriftHealing,
    @InjectConfig() private readonly config: Config,
  ) {}

  onModuleInit(): void {
    const inBackground = (work: () => Promise<unknown>) => () =>
      void work().catch((error: Error) => this.logger.warn(`Drift waits: ${error.message}`));
    this.timers = [
      setInterval(inBackground(() => (this.looking ??= this.look().finally(() => (this.looking = undefined)))), LOOK_MS),
      setInterval(inBackground(() => this.sweep()), SWEEP_MS),
    ];
  }

  async onModuleDestroy(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    await this.looking?.catch(() => undefined);
  }

  private async look(): Promise<void> {
    // Before the search: what was visible then and is not found is over.
    const open = await this.dataSource.query<OpenRow[]>(OPEN);
    const found = new Map((await findDrift(this.dataSource)).map((drift) => [keyOf(drift), drift]));
    await this.insert(found, new Set(open.map(keyOf)));
    await this.end(open.filter((drift) => drift.visible && !found.has(keyOf(drift))));
    for (const drift of open) if (drift.due && found.has(keyOf(drift))) await this.act(drift);
  }

  private async insert(found: ReadonlyMap<string, FoundDrift>, open: ReadonlySet<string>): Promise<void> {
    const added = [...found].filter(([key]) => !open.has(key)).sort(([a], [b]) => (a < b ? -1 : 1));
    if (added.length === 0) return;
    const rows = added.map(([, { nodeId, domainUuid, domainName, kind, vmId, incarnationId }]) => ({
      node_id: nodeId,
      domain_uuid: domainUuid,
      domain_name: domainName,
      kind,
      vm_id: vmId,
      incarnation_id: incarnationId,
      action: POLICY[kind].action,
    }));
    await this.dataSource.query(INSERT, [JSON.stringify(rows)]);
  }

  private async end(over: readonly OpenRow[]): Promise<void> {
    if (over.length === 0) return;
    await this.dataSource.query(FORGET, [over.map(({ id }) => id)]);
    await this.dataSource.query(END, [JSON.stringify(over.map((drift) => ({ id: drift.id, outcome: outcomeOf(drift) })))]);
  }

  private async act(drift: OpenRow): Promise<void> {
    const decision = decide({ ...drift, showOnly: this.config.drift === 'show' });
    const settled = drift.outcome === 'given up' || (drift.outcome === 'shown' && decision === 'report');
    if (settled || decision === 'wait') return;
    await this.healing.act(drift, decision);
  }

  private async sweep(): Promise<void> {
    await this.dataSource.query('DELETE FROM drift WHERE ended_at < now() - make_interval(days => $1)', [KEPT_DAYS]);
  }
}

const keyOf = ({ nodeId, domainUuid, kind }: { nodeId: ComputeNodeId; domainUuid: string; kind: DriftKind }): string =>
  `${nodeId} ${domainUuid} ${kind}`;

function outcomeOf({ outcome, observed }: OpenRow): DriftOutcome {
  if (outcome === 'given up') return 'given up';
  if (observed === 'failed') return 'failed';
  return outcome === 'healing' ? 'healed' : 'gone';
}
