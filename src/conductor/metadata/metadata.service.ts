/**
 * Whose metadata a request may read: token and UUID must both belong to the live incarnation. The token is known to
 * the guest's node and the guest alone; here only its hash is stored, and a new incarnation makes the old worthless.
 *
 * Phoning home is one statement, so that of many calls exactly the first marks the VM reachable and writes the event.
 */
import { Injectable } from '@nestjs/common';
import { isUUID } from 'class-validator';
import { timingSafeEqual } from 'node:crypto';
import { DataSource } from 'typeorm';
import type { IncarnationId, VmId } from '../../protocol/ids.js';
import { hashSecret } from '../identity/secrets.js';
import type { GuestIdentity } from './documents.js';

export interface Guest extends GuestIdentity {
  readonly vmId: VmId;
  readonly incarnationId: IncarnationId;
  readonly userData: string;
}

interface GuestRow extends Guest {
  readonly tokenHash: string;
}

const LONGEST_TOKEN = 256;
const LONGEST_HOSTNAME = 253;

@Injectable()
export class MetadataService {
  constructor(private readonly dataSource: DataSource) {}

  async guest(token: string, uuid: string): Promise<Guest | undefined> {
    if (token === '' || token.length > LONGEST_TOKEN || !isUUID(uuid)) return undefined;
    const [row] = await this.dataSource.query<GuestRow[]>(
      `SELECT v.id AS "vmId", i.id AS "incarnationId", i.metadata_token_hash AS "tokenHash", v.uuid, v.name,
              coalesce(v.user_data, '') AS "userData", r.name AS region,
              ARRAY(SELECT k.public_key FROM virtual_machine_keypair k
                     WHERE k.virtual_machine_id = v.id ORDER BY k.position) AS "publicKeys"
         FROM virtual_machine v
         JOIN incarnation i ON i.virtual_machine_id = v.id AND i.ended_at IS NULL AND i.metadata_token_hash IS NOT NULL
         JOIN environment e ON e.id = v.environment_id
         JOIN region r ON r.id = e.region_id
        WHERE v.uuid = $1`,
      [uuid],
    );
    if (row === undefined) return undefined;
    const stored = Buffer.from(row.tokenHash, 'hex');
    const given = hashSecret(token);
    return stored.length === given.length && timingSafeEqual(stored, given) ? row : undefined;
  }

  async phoneHome({ vmId, incarnationId }: Guest, hostname: string | undefined): Promise<void> {
    const said = hostname === undefined ? '' : printable(hostname);
    await this.dataSource.query(
      `WITH reached AS (
         UPDATE virtual_machine v SET reachable_at = now()
          WHERE v.id = $1 AND v.reachable_at IS NULL
            AND EXISTS (SELECT FROM incarnation i WHERE i.id = $2 AND i.ended_at IS NULL)
         RETURNING v.id, v.organization_id, v.name)
       INSERT INTO event (organization_id, virtual_machine_id, reason, object, message)
       SELECT organization_id, id, 'InstanceReachable', name, $3 FROM reached`,
      [vmId, incarnationId, said === '' ? 'The guest has booted' : `The guest has booted and calls itself ${said}`],
    );
  }
}

/** Guests are strangers: no control characters, no marks that turn the direction of text, no novel. */
const printable = (text: string): string =>
  text
    .replace(/[^\x20-\x7e]/g, '')
    .trim()
    .slice(0, LONGEST_HOSTNAME);
