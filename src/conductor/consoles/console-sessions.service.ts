/**
 * Looks at consoles, as the database has them. The life of one:
 *
 *   requested → ready   the node's worker has come with its websocket; a ticket can be fetched, and fetched anew
 *   ready     → open    the ticket was shown, once; the conductor that holds the worker's websocket serves it
 *   any       → ended   by its viewer, a limit, a deadline, the end of its key, or (by trigger) of its VM's power
 *
 * Each state but the last has a deadline in `expires_at`; whoever sweeps first ends what is past it. The row is locked by
 * every change, so a ticket is used once whatever number of conductors it is shown to, and never after its VM was stopped.
 */
import { Injectable, Logger, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { ConsoleKind, ConsoleQuery } from '../../protocol/console.js';
import type { ComputeNodeId, IncarnationId, VmId } from '../../protocol/ids.js';
import { change } from '../audit/change.js';
import { PreparedStatement } from '../database/prepared-statement.js';
import { ApiError, badRequest, notFound } from '../http/api-error.js';
import type { KeyHolder, Principal } from '../identity/principal.js';
import { hashSecret, newSecret } from '../identity/secrets.js';

export type ConsoleState = 'requested' | 'ready' | 'open' | 'ended';

/** How long each state may last without being renewed. */
const DEADLINE_SECONDS: Readonly<Record<Exclude<ConsoleState, 'ended'>, number>> = { requested: 30, ready: 60, open: 60 };
const TICKET_SECONDS = 60;
/** However often its ticket is fetched anew. */
const MOST_READY_MINUTES = 10;
const MOST_OF_ONE_VM = 10;
const KEPT_MINUTES = 10;
const SWEEP_MS = 5_000;
const MOST_AT_ONCE = 20;
/** A worker whose conductor was killed dials on for this long; it is refused as soon as there is nothing to come to. */
const DIALLING_SECONDS = 120;

/** The names of Infrahub, and ours for what Infrahub does not have. */
const EVENTS = `CASE kind WHEN 'vnc' THEN 'GenerateVNCConsole' ELSE 'GenerateSerialConsole' END`;

const ASKED = new PreparedStatement<ConsoleQuery>(
  'consoles asked of a node',
  `SELECT s.id AS console, vm.uuid AS "vmUuid", s.incarnation_id AS "incarnationId", s.kind, ${DIALLING_SECONDS} AS seconds
     FROM console_session s JOIN virtual_machine vm ON vm.id = s.virtual_machine_id
    WHERE s.compute_node_id = $1 AND s.held_by IS NULL AND s.state <> 'ended' AND s.expires_at > now()
    ORDER BY s.id LIMIT ${MOST_AT_ONCE}`,
);

export type ConsoleSelector = { readonly id: VmId } | { readonly environment: string; readonly name: string };

export interface RequestedConsole {
  readonly console: number;
  readonly vmId: VmId;
  readonly vmName: string;
}

/** What `GET …/console/{job_id}` finds. */
export interface ConsoleJob {
  readonly kind: ConsoleKind;
  readonly vmName: string;
  /** Null while the node has not come yet. */
  readonly ticket: string | null;
}

interface ConsoleRow {
  readonly kind: ConsoleKind;
  readonly vmName: string;
  readonly state: ConsoleState;
  readonly reason: string | null;
  readonly overdue: boolean;
}

interface SelectedVm {
  readonly id: VmId;
  readonly name: string;
  readonly status: string;
  readonly incarnation: IncarnationId | null;
  readonly node: ComputeNodeId | null;
  readonly living: number;
}

@Injectable()
export class ConsoleSessions implements OnModuleInit, OnModuleDestroy {
  private readonly logger = new Logger(ConsoleSessions.name);
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly dataSource: DataSource) {}

  onModuleInit(): void {
    this.timer = setInterval(() => {
      void this.sweep().catch((error: Error) => this.logger.warn(`Consoles were not swept: ${error.message}`));
    }, SWEEP_MS);
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  /** @throws ApiError 404, 400 for a VM that is not ACTIVE, 429 for one that too many look at. */
  async request(principal: KeyHolder, selector: ConsoleSelector, kind: ConsoleKind): Promise<RequestedConsole> {
    return change(this.dataSource, principal, async (transaction, concerns) => {
      const vm = await shareVm(transaction, principal, selector);
      if (vm.status !== 'ACTIVE' || vm.incarnation === null)
        throw badRequest(`${vm.name} is ${vm.status}; its console can be requested when it is ACTIVE.`);
      if (vm.living >= MOST_OF_ONE_VM)
        throw new ApiError(429, `${vm.name} has ${vm.living} consoles already. Close one, or wait a minute.`, undefined, 60);
      const [{ id }] = await transaction.query<[{ id: number }]>(
        `INSERT INTO console_session
           (organization_id, user_id, api_key_id, virtual_machine_id, incarnation_id, compute_node_id, kind, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, now() + interval '${DEADLINE_SECONDS.requested} seconds') RETURNING id`,
        [principal.organizationId, principal.userId, principal.apiKeyId, vm.id, vm.incarnation, vm.node, kind],
      );
      concerns(vm.id);
      return { console: id, vmId: vm.id, vmName: vm.name };
    });
  }

  /**
   * Each call that finds the console ready makes a new ticket, and the former one is worth nothing.
   * @throws ApiError 404 for the console of another user, VM or organization; 400 for one that has been opened or ended.
   */
  async fetch(principal: Principal, selector: ConsoleSelector, console: number): Promise<ConsoleJob> {
    const [condition, parameters] = selection(selector);
    const [row] = await this.dataSource.query<ConsoleRow[]>(
      `SELECT s.kind, s.state, s.reason, s.expires_at < now() AS overdue, vm.name AS "vmName"
         FROM console_session s
         JOIN virtual_machine vm ON vm.id = s.virtual_machine_id AND vm.deleted_at IS NULL
         JOIN environment e ON e.id = vm.environment_id
        WHERE s.organization_id = $1 AND vm.organization_id = $1 AND s.user_id = $2 AND s.id = $3 AND ${condition('$4', '$5')}`,
      [principal.organizationId, principal.userId, console, ...parameters],
    );
    if (row === undefined) throw notFound('The console (it is kept for ten minutes)');
    if (row.state === 'open') throw badRequest('This console was opened already. Request another one.');
    if (row.state === 'ended' || row.overdue)
      throw badRequest(`This console has ended: ${row.reason ?? 'nobody opened it in time.'} Request another one.`);
    return { kind: row.kind, vmName: row.vmName, ticket: row.state === 'ready' ? await this.issueTicket(console) : null };
  }

  private async issueTicket(console: number): Promise<string | null> {
    const ticket = newSecret('console');
    const [, issued] = await this.dataSource.query<[unknown, number]>(
      `UPDATE console_session SET ticket_hash = $2, ticket_expires_at = now() + interval '${TICKET_SECONDS} seconds',
              expires_at = least(now() + interval '${DEADLINE_SECONDS.ready} seconds', requested_at + interval '${MOST_READY_MINUTES} minutes')
        WHERE id = $1 AND state = 'ready' AND expires_at > now()`,
      [console, hashSecret(ticket)],
    );
    return issued === 1 ? ticket : null;
  }

  /** What the node is asked for at this moment. */
  asked(nodeId: ComputeNodeId): Promise<ConsoleQuery[]> {
    return ASKED.run(this.dataSource, [nodeId]);
  }

  /** The worker has come to this conductor; it may come again, when another conductor went away under it. */
  async park(nodeId: ComputeNodeId, console: number, heldBy: string): Promise<boolean> {
    const rows = await this.dataSource.query<unknown[]>(
      `WITH former AS (
         SELECT id, state AS former_state FROM console_session
          WHERE id = $1 AND compute_node_id = $2 AND state IN ('requested', 'ready') AND expires_at > now() FOR UPDATE
       ), parked AS (
         UPDATE console_session s
            SET state = 'ready', held_by = $3,
                expires_at = CASE former_state WHEN 'requested' THEN now() + interval '${DEADLINE_SECONDS.ready} seconds' ELSE expires_at END
           FROM former WHERE s.id = former.id RETURNING s.*, former_state
       ), told AS (
         INSERT INTO event (organization_id, virtual_machine_id, user_id, reason, object, message)
         SELECT p.organization_id, vm.id, p.user_id, ${EVENTS} || 'Success', vm.name, 'A console of ' || vm.name || ' can be opened'
           FROM parked p JOIN virtual_machine vm ON vm.id = p.virtual_machine_id WHERE former_state = 'requested'
       )
       SELECT id FROM parked`,
      [console, nodeId, heldBy],
    );
    return rows.length === 1;
  }

  /** The worker's websocket is gone before anybody came: the next heartbeat asks for it again. */
  async unpark(console: number, heldBy: string): Promise<void> {
    await this.dataSource.query(
      `UPDATE console_session SET held_by = NULL WHERE id = $1 AND held_by = $2 AND state = 'ready'`,
      [console, heldBy],
    );
  }

  /** Where the console of a ticket waits; undefined for a ticket that is not, or no longer, worth anything. */
  async locate(ticket: string): Promise<{ readonly console: number; readonly heldBy: string } | undefined> {
    const [row] = await this.dataSource.query<{ console: number; heldBy: string }[]>(
      `SELECT id AS console, held_by AS "heldBy" FROM console_session
        WHERE ticket_hash = $1 AND state = 'ready' AND held_by IS NOT NULL AND ticket_expires_at > now() AND expires_at > now()`,
      [hashSecret(ticket)],
    );
    return row;
  }

  /** Uses the ticket up. @returns false for all but the first. */
  async open(console: number, ticket: string, heldBy: string): Promise<boolean> {
    const [, opened] = await this.dataSource.query<[unknown, number]>(
      `UPDATE console_session s
          SET state = 'open', opened_at = now(), ticket_hash = NULL, expires_at = now() + interval '${DEADLINE_SECONDS.open} seconds'
         FROM api_key k
        WHERE s.id = $1 AND s.ticket_hash = $2 AND s.held_by = $3 AND s.state = 'ready'
          AND s.ticket_expires_at > now() AND s.expires_at > now()
          AND k.id = s.api_key_id AND (k.expires_at IS NULL OR k.expires_at > now())`,
      [console, hashSecret(ticket), heldBy],
    );
    return opened === 1;
  }

  /** @returns those that go on living; the deadline of the open ones is put off. */
  async renew(heldBy: string, consoles: readonly number[], mostSeconds: number): Promise<Set<number>> {
    const [rows] = await this.dataSource.query<[{ id: number }[], number]>(
      `UPDATE console_session s
          SET expires_at = CASE state WHEN 'open' THEN now() + interval '${DEADLINE_SECONDS.open} seconds' ELSE s.expires_at END
         FROM api_key k
        WHERE s.id = ANY($1) AND s.held_by = $2 AND s.state IN ('ready', 'open') AND s.expires_at > now()
          AND (s.opened_at IS NULL OR s.opened_at > now() - make_interval(secs => $3))
          AND k.id = s.api_key_id AND (k.expires_at IS NULL OR k.expires_at > now())
      RETURNING s.id`,
      [consoles, heldBy, mostSeconds],
    );
    return new Set(rows.map(({ id }) => id));
  }

  /** @returns why it ended, where somebody else has ended it before. */
  async end(console: number, reason: string): Promise<string> {
    const [rows] = await this.dataSource.query<[{ reason: string }[], number]>(
      `UPDATE console_session SET state = 'ended', ended_at = coalesce(ended_at, now()), ticket_hash = NULL, reason = coalesce(reason, $2)
        WHERE id = $1 RETURNING reason`,
      [console, reason],
    );
    return rows[0]?.reason ?? reason;
  }

  private async sweep(): Promise<void> {
    await this.dataSource.query(
      `WITH overdue AS (
         SELECT id, state AS former_state FROM console_session
          WHERE state <> 'ended' AND expires_at < now() ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED
       ), ended AS (
         UPDATE console_session s
            SET state = 'ended', ended_at = now(), ticket_hash = NULL,
                reason = CASE former_state WHEN 'requested' THEN 'The node did not answer in time.'
                                           WHEN 'ready' THEN 'Nobody opened it in time.'
                                           ELSE 'The conductor that served it is gone.' END
           FROM overdue WHERE s.id = overdue.id RETURNING s.*, former_state
       )
       INSERT INTO event (organization_id, virtual_machine_id, user_id, type, reason, object, message)
       SELECT s.organization_id, vm.id, s.user_id, 'warning', ${EVENTS} || 'Failed', vm.name,
              'No console of ' || vm.name || ': its node did not answer in time'
         FROM ended s JOIN virtual_machine vm ON vm.id = s.virtual_machine_id WHERE former_state = 'requested'`,
    );
    await this.dataSource.query(
      `DELETE FROM console_session WHERE state = 'ended' AND ended_at < now() - interval '${KEPT_MINUTES} minutes'`,
    );
  }
}

type Condition = (first: string, second: string) => string;

function selection(selector: ConsoleSelector): [Condition, unknown[]] {
  if ('id' in selector) return [(first) => `vm.id = ${first}`, [selector.id]];
  return [(first, second) => `e.name = ${first} AND vm.name = ${second}`, [selector.environment, selector.name]];
}

/** Locked against a stop: either the stop sees this console, or this request sees the stop. */
async function shareVm(transaction: EntityManager, principal: Principal, selector: ConsoleSelector): Promise<SelectedVm> {
  const [condition, parameters] = selection(selector);
  const [vm] = await transaction.query<SelectedVm[]>(
    `SELECT vm.id, vm.name, vm.status, i.id AS incarnation, i.compute_node_id AS node,
            (SELECT count(*)::int FROM console_session s WHERE s.virtual_machine_id = vm.id AND s.state <> 'ended') AS living
       FROM virtual_machine vm
       JOIN environment e ON e.id = vm.environment_id
       LEFT JOIN incarnation i ON i.virtual_machine_id = vm.id AND i.ended_at IS NULL
      WHERE vm.organization_id = $1 AND vm.deleted_at IS NULL AND ${condition('$2', '$3')}
        FOR SHARE OF vm`,
    [principal.organizationId, ...parameters],
  );
  if (vm === undefined) throw notFound('The virtual machine');
  return vm;
}
