/**
 * The delivery log of a VM's or volume's webhooks, for its owner, and sending one of them once more. Every lookup names the
 * organization, so that another's VM or webhook is the same 404 as one that does not exist.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { changeRows } from '../audit/change.js';
import type { OrganizationId, VmId } from '../../protocol/ids.js';
import { ApiError, notFound } from '../http/api-error.js';
import type { Principal } from '../identity/principal.js';
import type { DeliveryState } from './callback-delivery.entity.js';
import { CallbackDeliverer } from './callback-deliverer.js';

export interface DeliveryLogRow {
  readonly id: string;
  readonly virtualMachineId: VmId | null;
  readonly volumeId: number | null;
  readonly url: string;
  readonly body: string;
  readonly state: DeliveryState;
  readonly attempts: number;
  readonly availableAt: Date;
  readonly responseStatus: number | null;
  readonly lastError: string | null;
  readonly createdAt: Date;
  readonly finishedAt: Date | null;
}

const LOG_LENGTH = 100;

/** What webhooks tell of. */
const SUBJECTS = {
  'virtual-machine': { table: 'virtual_machine', column: 'virtual_machine_id', what: 'Virtual machine' },
  volume: { table: 'volume', column: 'volume_id', what: 'Volume' },
} as const;

export type CallbackSubject = keyof typeof SUBJECTS;

const COLUMNS = `id, virtual_machine_id AS "virtualMachineId", volume_id AS "volumeId", url, body, state, attempts,
  available_at AS "availableAt", response_status AS "responseStatus", last_error AS "lastError",
  created_at AS "createdAt", finished_at AS "finishedAt"`;

@Injectable()
export class CallbacksService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly deliverer: CallbackDeliverer,
  ) {}

  /** Newest first. What is deleted keeps its log: its last webhook tells of the deletion. */
  async deliveriesOf(organizationId: OrganizationId, kind: CallbackSubject, id: number): Promise<DeliveryLogRow[]> {
    const { table, column, what } = SUBJECTS[kind];
    const owned = await this.dataSource.query<unknown[]>(`SELECT FROM ${table} WHERE id = $1 AND organization_id = $2`, [
      id,
      organizationId,
    ]);
    if (owned.length === 0) throw notFound(`${what} ${id}`);
    return await this.dataSource.query<DeliveryLogRow[]>(
      `SELECT ${COLUMNS} FROM callback_delivery WHERE ${column} = $1 AND organization_id = $2
        ORDER BY created_at DESC, id DESC LIMIT ${LOG_LENGTH}`,
      [id, organizationId],
    );
  }

  /** The same webhook with the same id, so that a receiver that did take it can tell. */
  async replay(principal: Principal, deliveryId: string): Promise<DeliveryLogRow> {
    const { organizationId, userId } = principal;
    const [row] = await changeRows<DeliveryLogRow>(
      this.dataSource,
      principal,
      `WITH replayed AS (
         UPDATE callback_delivery SET state = 'pending', attempts = 0, available_at = now(), finished_at = NULL
          WHERE id = $1 AND organization_id = $2 AND state <> 'pending'
         RETURNING *),
       noted AS (
         INSERT INTO event (organization_id, virtual_machine_id, user_id, reason, object, message)
         SELECT r.organization_id, r.virtual_machine_id, $3, 'CallbackReplayRequest', coalesce(vm.name, v.name),
                'Webhook ' || r.id || ' is sent again'
           FROM replayed r LEFT JOIN virtual_machine vm ON vm.id = r.virtual_machine_id LEFT JOIN volume v ON v.id = r.volume_id)
       SELECT ${COLUMNS} FROM replayed`,
      [deliveryId, organizationId, userId],
    );
    if (row === undefined) throw await this.whyNotReplayed(organizationId, deliveryId);
    this.deliverer.wake();
    return row;
  }

  private async whyNotReplayed(organizationId: OrganizationId, deliveryId: string): Promise<ApiError> {
    const pending = await this.dataSource.query<unknown[]>(
      'SELECT FROM callback_delivery WHERE id = $1 AND organization_id = $2',
      [deliveryId, organizationId],
    );
    if (pending.length === 0) return notFound(`Callback delivery ${deliveryId}`);
    return new ApiError(
      409,
      'This callback is still being delivered. Replay it when it is delivered or has failed.',
      'conflict',
    );
  }
}
