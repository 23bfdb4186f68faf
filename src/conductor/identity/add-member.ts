/**
 * How the operator lets people in: makes organization, user and membership, each where it is missing, and an API key.
 * May be run again: for another key, or to make a member an owner. It never takes anything away.
 */
import type { DataSource } from 'typeorm';
import { newSecret, hashSecret, hintOf } from './secrets.js';

export interface NewMember {
  readonly organization: string;
  readonly email: string;
  readonly owner: boolean;
}

/** @returns an API key of the member, in clear. */
export async function addMember(dataSource: DataSource, { organization, email, owner }: NewMember): Promise<string> {
  const key = newSecret('key');
  await dataSource.transaction(async (transaction) => {
    await transaction.query('INSERT INTO organization (name) VALUES ($1) ON CONFLICT (name) DO NOTHING', [organization]);
    await transaction.query(
      `INSERT INTO user_account (email, username, name)
       SELECT $1::text, $1::text, split_part($1::text, '@', 1)
        WHERE NOT EXISTS (SELECT 1 FROM user_account WHERE lower(email) = lower($1)) ON CONFLICT DO NOTHING`,
      [email],
    );
    await transaction.query(
      `INSERT INTO membership (organization_id, user_id, role)
       SELECT o.id, u.id, $3 FROM organization o, user_account u WHERE o.name = $1 AND lower(u.email) = lower($2)
       ON CONFLICT (organization_id, user_id) DO UPDATE
          SET role = EXCLUDED.role, role_id = NULL WHERE EXCLUDED.role = 'owner'`,
      [organization, email, owner ? 'owner' : 'member'],
    );
    await transaction.query(
      `INSERT INTO api_key (organization_id, user_id, name, description, key_hash, hint)
       SELECT o.id, u.id, 'operator-' || to_char(clock_timestamp(), 'YYYYMMDD-HH24MISS.US'), 'Made by the operator', $3, $4
         FROM organization o, user_account u WHERE o.name = $1 AND lower(u.email) = lower($2)`,
      [organization, email, hashSecret(key), hintOf(key)],
    );
  });
  return key;
}
