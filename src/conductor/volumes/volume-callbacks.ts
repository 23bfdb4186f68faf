/**
 * Where a volume's changes of status are told: one URL, attached, replaced or taken away. A webhook that waits for its
 * delivery still goes to the URL of its time.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { change } from '../audit/change.js';
import { EgressPolicy } from '../egress/egress-policy.js';
import { badRequest } from '../http/api-error.js';
import type { Principal } from '../identity/principal.js';
import { lockVolume } from './volume-lock.js';

@Injectable()
export class VolumeCallbacks {
  constructor(
    private readonly dataSource: DataSource,
    private readonly egress: EgressPolicy,
  ) {}

  /** @returns the volume's name. @throws ApiError 400 when it has a callback already. */
  async attach(principal: Principal, id: number, url: string): Promise<string> {
    this.egress.checkUrl(url);
    return await this.write(principal, id, url, (name, present) =>
      present ? `The volume '${name}' has a callback. Replace it with update-callback, or remove it with delete-callback.` : undefined,
    );
  }

  /** @returns the volume's name. @throws ApiError 400 when it has none. */
  async update(principal: Principal, id: number, url: string): Promise<string> {
    this.egress.checkUrl(url);
    return await this.write(principal, id, url, unlessPresent);
  }

  /** @returns the volume's name. @throws ApiError 400 when it has none. */
  async remove(principal: Principal, id: number): Promise<string> {
    return await this.write(principal, id, null, unlessPresent);
  }

  private write(
    principal: Principal,
    id: number,
    url: string | null,
    refusalOf: (name: string, present: boolean) => string | undefined,
  ): Promise<string> {
    const { organizationId, userId } = principal;
    return change(this.dataSource, principal, async (transaction) => {
      const { name, callback_url } = await lockVolume(transaction, organizationId, id);
      const refusal = refusalOf(name, callback_url !== null);
      if (refusal !== undefined) throw badRequest(refusal);
      await transaction.query('UPDATE volume SET callback_url = $2, updated_at = now() WHERE id = $1', [id, url]);
      await transaction.query(
        `INSERT INTO event (organization_id, user_id, reason, object, message) VALUES ($1, $2, 'VolumeCallbackChanged', $3, $4)`,
        [organizationId, userId, name, url === null ? 'The callback was removed.' : 'The callback was set.'],
      );
      return name;
    });
  }
}

const unlessPresent = (name: string, present: boolean): string | undefined =>
  present ? undefined : `The volume '${name}' has no callback. Set one with attach-callback.`;
