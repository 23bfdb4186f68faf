/**
 * The delivery log of a VM's webhooks, for its owner, and sending one of them once more. Every lookup names the
 * organization, so that another's VM or webhook is the same 404 as one that does not exist.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { OrganizationId, VmId } from '../../protocol/ids.js';
import { ApiError, notFound } from '../http/api-error.js';
import type { Principal } from '../identity/principal.js';
import type { DeliveryState } from './callback-delivery.entity.js';
import { CallbackDeliverer } from './callback-deliverer.js';

export interface DeliveryLogRow {
  readonly id: string;
  readonly virtualMachineId: VmId;
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

const COLUMNS = `id, virtual_machine_id AS "virtualMachineId", url, body, state, attempts,
  available_at AS "availableAt", response_status AS "responseStatus", last_error AS "lastError",
  created_at AS "createdAt", finished_at AS "finishedAt"`;

@Injectable()
export class CallbacksService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly deliverer: CallbackDeliverer,
  ) {}

  /** Newest first. Deleted VMs keep their log: their last webhook tells of the deletion. */
  async deliveriesOf(organizationId: OrganizationId, vmId: VmId): Promise<DeliveryLogRow[]> {
    const owned = await this.dataSource.query<unknown[]>(
      'SELECT FROM virtual_machine WHERE id = $1 AND organization_id = $2',
      [vmId, organizationId],
    );
    if (owned.length === 0) throw notFound(`Virtual machine ${vmId}`);
    return await this.dataSource.query<DeliveryLogRow[]>(
      `SELECT ${COLUMNS} FROM callback_delivery WHERE virtual_machine_id = $1 AND organization_id = $2
        ORDER BY created_at DESC, id DESC LIMIT ${LOG_LENGTH}`,
      [vmId, organizationId],
    );
  }

  /** The same webhook with the same id, so that a receiver that did take it can tell. */
  async replay({ organizationId, userId }: Principal, deliveryId: string): Promise<DeliveryLogRow> {
    const [row] = await this.dataSource.query<DeliveryLogRow[]>(
      `WITH replayed AS (
         UPDATE callback_delivery SET state = 'pending', attempts = 0, available_at = now(), finished_at = NULL
          WHERE id = $1 AND organization_id = $2 AND state <> 'pending'
         RETURNING *),
       noted AS (
         INSERT INTO event (organization_id, virtual_machine_id, user_id, reason, object, message)
         SELECT r.organization_id, r.virtual_machine_id, $3, 'CallbackReplayRequest', v.name,
                'Webhook ' || r.id || ' is sent again'
           FROM replayed r JOIN virtual_machine v ON v.id = r.virtual_machine_id)
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
