/**
 * Requests for the end of a VM's serial console. The node learns of them in the answer to its heartbeat, sends the
 * text, and is asked again with each heartbeat until it has: nothing is lost when a worker, a conductor or an answer
 * is. A node may answer only what was asked of it, and only the first answer counts.
 *
 * Requests are kept for ten minutes, a few for each VM, so that they cannot fill the database.
 */
import { Injectable, Logger, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { ComputeNodeId, OrganizationId, VmId } from '../../protocol/ids.js';
import type { ConsoleLogQuery } from '../../protocol/console-log.js';
import { PreparedStatement } from '../database/prepared-statement.js';
import { badRequest, notFound } from '../http/api-error.js';
import { lastLines } from './console-text.js';

const KEPT_MINUTES = 10;
const SWEEP_MS = 60_000;
/** Of one VM; an older one makes room. */
const MOST_KEPT = 10;
/** In one answer to a heartbeat; the others follow with the next. */
const MOST_AT_ONCE = 20;

const LIVING = `requested_at > now() - interval '${KEPT_MINUTES} minutes'`;

const OPEN = new PreparedStatement<ConsoleLogQuery>(
  'open console log requests',
  `SELECT r.id AS request, vm.uuid AS "vmUuid", r.incarnation_id AS "incarnationId"
     FROM console_log_request r JOIN virtual_machine vm ON vm.id = r.virtual_machine_id
    WHERE r.compute_node_id = $1 AND r.content IS NULL AND r.${LIVING}
    ORDER BY r.id LIMIT ${MOST_AT_ONCE}`,
);

export interface ConsoleLog {
  /** Null: the node has not answered yet. */
  readonly content: string | null;
  readonly seconds: number;
}

@Injectable()
export class ConsoleLogs implements OnModuleInit, OnModuleDestroy {
  private readonly logger = new Logger(ConsoleLogs.name);
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly dataSource: DataSource) {}

  onModuleInit(): void {
    this.timer = setInterval(() => {
      void this.sweep().catch((error: Error) => this.logger.warn(`Old console logs were not deleted: ${error.message}`));
    }, SWEEP_MS);
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  /** @throws ApiError 404, or 400 for a VM that is not ACTIVE. */
  async request(organizationId: OrganizationId, vmId: VmId, lines: number): Promise<number> {
    const [vm] = await this.dataSource.query<{ name: string; status: string; incarnation: number | null; node: number | null }[]>(
      `SELECT vm.name, vm.status, i.id AS incarnation, i.compute_node_id AS node
         FROM virtual_machine vm LEFT JOIN incarnation i ON i.virtual_machine_id = vm.id AND i.ended_at IS NULL
        WHERE vm.organization_id = $1 AND vm.id = $2 AND vm.deleted_at IS NULL`,
      [organizationId, vmId],
    );
    if (vm === undefined) throw notFound('The virtual machine');
    if (vm.status !== 'ACTIVE')
      throw badRequest(`${vm.name} is ${vm.status}; its logs can be requested when it is ACTIVE.`);
    const [{ id }] = await this.dataSource.query<[{ id: number }]>(
      `WITH crowded AS (
         DELETE FROM console_log_request WHERE id IN (
           SELECT id FROM console_log_request WHERE virtual_machine_id = $1 ORDER BY id DESC OFFSET ${MOST_KEPT - 1}))
       INSERT INTO console_log_request (virtual_machine_id, incarnation_id, compute_node_id, lines)
       VALUES ($1, $2, $3, $4) RETURNING id`,
      [vmId, vm.incarnation, vm.node, lines],
    );
    return id;
  }

  /** @throws ApiError 404 for a request that is not of this VM, or is forgotten. */
  async read(organizationId: OrganizationId, vmId: VmId, request: number): Promise<ConsoleLog> {
    const [row] = await this.dataSource.query<ConsoleLog[]>(
      `SELECT r.content, extract(epoch FROM now() - r.requested_at)::int AS seconds
         FROM console_log_request r JOIN virtual_machine vm ON vm.id = r.virtual_machine_id
        WHERE vm.organization_id = $1 AND vm.id = $2 AND vm.deleted_at IS NULL AND r.id = $3 AND r.${LIVING}`,
      [organizationId, vmId, request],
    );
    if (row === undefined) throw notFound(`The log request (it is kept for ${KEPT_MINUTES} minutes)`);
    return row;
  }

  /** What the node is asked for at this moment. */
  open(nodeId: ComputeNodeId): Promise<ConsoleLogQuery[]> {
    return OPEN.run(this.dataSource, [nodeId]);
  }

  /** Of a request that was not asked of this node, or is answered or forgotten, nothing is taken. */
  async answer(nodeId: ComputeNodeId, request: number, text: string): Promise<void> {
    const [asked] = await this.dataSource.query<{ lines: number }[]>(
      'SELECT lines FROM console_log_request WHERE id = $1 AND compute_node_id = $2 AND content IS NULL',
      [request, nodeId],
    );
    if (asked === undefined) return;
    await this.dataSource.query(
      'UPDATE console_log_request SET content = $3 WHERE id = $1 AND compute_node_id = $2 AND content IS NULL',
      [request, nodeId, lastLines(text, asked.lines)],
    );
  }

  private async sweep(): Promise<void> {
    await this.dataSource.query(`DELETE FROM console_log_request WHERE NOT ${LIVING}`);
  }
}
