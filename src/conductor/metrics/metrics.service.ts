/**
 * What VMs use, as their nodes tell it: taken up by the minute, summed up into coarser periods, forgotten when it is old.
 *
 * One statement takes what a node tells of all its VMs, in the minute in which it arrives by the database's clock: no
 * node's clock counts, and nothing arrives late for a sum. A batch that comes again is not counted again. Summing up is
 * leased by the row of its granularity: of any number of conductors one does it, from where the last one stopped.
 */
import { Injectable, Logger, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { ComputeNodeId, OrganizationId, VmId } from '../../protocol/ids.js';
import type { SampleBatch } from '../../protocol/metrics.js';
import { PreparedStatement } from '../database/prepared-statement.js';
import { notFound } from '../http/api-error.js';
import { DURATIONS, RESOLUTIONS, resolutionFor, type Duration } from './resolutions.js';

const ROLL_UP_MS = 60_000;
const AMOUNTS = ['cpu_ns', 'disk_read_bytes', 'disk_write_bytes', 'network_in_bytes', 'network_out_bytes'] as const;
const FIELDS = [...AMOUNTS, 'memory_mib'].join(', ');
/** A multiple of every period. */
const ORIGIN = `timestamptz '2000-01-01 00:00:00Z'`;
const MOST_DELETED = 10_000;

const addUp = (table: string): string => AMOUNTS.map((amount) => `${amount} = ${table}.${amount} + excluded.${amount}`).join(', ');

const TAKE = new PreparedStatement(
  'take samples',
  `WITH fresh AS (
     INSERT INTO sample_batch_seen AS seen (compute_node_id, session, batch) VALUES ($1, $2, $3)
         ON CONFLICT (compute_node_id) DO UPDATE SET session = excluded.session, batch = excluded.batch
      WHERE (seen.session, seen.batch) < (excluded.session, excluded.batch)
     RETURNING 1
   )
   INSERT INTO vm_metric AS known (virtual_machine_id, granularity, at, ${FIELDS})
   SELECT vm.id, ${RESOLUTIONS[0].granularity}, date_bin('1 minute', now(), ${ORIGIN}),
          ${AMOUNTS.map((amount) => `sum(s.${amount})`).join(', ')}, max(s.memory_mib)
     FROM fresh, json_to_recordset($4) AS s(vm_uuid uuid, incarnation_id int, ${AMOUNTS.map((amount) => `${amount} bigint`).join(', ')}, memory_mib int)
     JOIN incarnation i ON i.id = s.incarnation_id AND i.compute_node_id = $1
     JOIN virtual_machine vm ON vm.id = i.virtual_machine_id AND vm.uuid = s.vm_uuid
    GROUP BY vm.id ORDER BY vm.id
       ON CONFLICT (virtual_machine_id, granularity, at) DO UPDATE SET ${addUp('known')}, memory_mib = excluded.memory_mib`,
);

export interface MetricRow {
  readonly at: Date;
  readonly cpu_ns: string;
  readonly memory_mib: number;
  readonly disk_read_bytes: string;
  readonly disk_write_bytes: string;
  readonly network_in_bytes: string;
  readonly network_out_bytes: string;
}

export type MetricsSelector = { readonly id: VmId } | { readonly environment: string; readonly name: string };

@Injectable()
export class Metrics implements OnModuleInit, OnModuleDestroy {
  private readonly logger = new Logger(Metrics.name);
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly dataSource: DataSource) {}

  onModuleInit(): void {
    this.timer = setInterval(() => {
      void this.rollUp().catch((error: Error) => this.logger.warn(`Metrics were not summed up: ${error.message}`));
    }, ROLL_UP_MS);
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  /** Of what is not on this node, nothing is taken. */
  async take(nodeId: ComputeNodeId, { session, batch, samples }: SampleBatch): Promise<void> {
    const rows = samples.map((sample) => ({
      vm_uuid: sample.vmUuid,
      incarnation_id: sample.incarnationId,
      cpu_ns: sample.cpuNs,
      memory_mib: sample.memoryMib,
      disk_read_bytes: sample.diskReadBytes,
      disk_write_bytes: sample.diskWriteBytes,
      network_in_bytes: sample.networkInBytes,
      network_out_bytes: sample.networkOutBytes,
    }));
    await TAKE.run(this.dataSource, [nodeId, session, batch, JSON.stringify(rows)]);
  }

  /** Oldest first. @throws ApiError 404. */
  async of(
    organizationId: OrganizationId,
    selector: MetricsSelector,
    duration: Duration,
  ): Promise<{ readonly granularity: number; readonly rows: readonly MetricRow[] }> {
    const [condition, parameters] =
      'id' in selector ? ['vm.id = $2', [selector.id]] : ['e.name = $2 AND vm.name = $3', [selector.environment, selector.name]];
    const [vm] = await this.dataSource.query<{ id: VmId }[]>(
      `SELECT vm.id FROM virtual_machine vm JOIN environment e ON e.id = vm.environment_id
        WHERE vm.organization_id = $1 AND vm.deleted_at IS NULL AND ${condition}`,
      [organizationId, ...parameters],
    );
    if (vm === undefined) throw notFound('The virtual machine');
    const granularity = resolutionFor(duration);
    const rows = await this.dataSource.query<MetricRow[]>(
      `SELECT at, ${FIELDS} FROM vm_metric
        WHERE virtual_machine_id = $1 AND granularity = $2 AND at > now() - make_interval(secs => $3) ORDER BY at`,
      [vm.id, granularity, DURATIONS[duration]],
    );
    return { granularity, rows };
  }

  /** Sums up what has become complete since the last time, and forgets what is too old. */
  async rollUp(): Promise<void> {
    for (const [index, { granularity }] of RESOLUTIONS.entries())
      if (index > 0) await this.sumUp(RESOLUTIONS[index - 1]!.granularity, granularity);
    for (const { granularity, keptSeconds } of RESOLUTIONS)
      await this.dataSource.query(
        `DELETE FROM vm_metric WHERE (virtual_machine_id, granularity, at) IN (
           SELECT virtual_machine_id, granularity, at FROM vm_metric
            WHERE granularity = $1 AND at < now() - make_interval(secs => $2) ORDER BY at LIMIT ${MOST_DELETED} FOR UPDATE SKIP LOCKED)`,
        [granularity, keptSeconds],
      );
  }

  private async sumUp(from: number, to: number): Promise<void> {
    await this.dataSource.transaction(async (transaction) => {
      const [leased] = await transaction.query<{ since: Date; until: Date }[]>(
        // What is summed up must be complete itself: coarser periods follow the finer ones, which follow the clock.
        `SELECT r.done_until AS since,
                date_bin(make_interval(secs => $1), coalesce((SELECT done_until FROM metric_rollup f WHERE f.granularity = $2),
                         now() - interval '1 minute'), ${ORIGIN}) AS until
           FROM metric_rollup r WHERE r.granularity = $1 FOR UPDATE OF r SKIP LOCKED`,
        [to, from],
      );
      if (leased === undefined || leased.until <= leased.since) return;
      await transaction.query(
        `INSERT INTO vm_metric AS known (virtual_machine_id, granularity, at, ${FIELDS})
         SELECT virtual_machine_id, $1::int, date_bin(make_interval(secs => $1), at, ${ORIGIN}) AS period,
                ${AMOUNTS.map((amount) => `sum(${amount})`).join(', ')}, round(avg(memory_mib))
           FROM vm_metric WHERE granularity = $2 AND at >= $3 AND at < $4
          GROUP BY virtual_machine_id, period
             ON CONFLICT (virtual_machine_id, granularity, at) DO UPDATE SET ${addUp('known')}, memory_mib = excluded.memory_mib`,
        [to, from, leased.since, leased.until],
      );
      await transaction.query('UPDATE metric_rollup SET done_until = $2 WHERE granularity = $1', [to, leased.until]);
    });
  }
}
