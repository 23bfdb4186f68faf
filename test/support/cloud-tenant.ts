/** An organization of its own with a user, an environment, a keypair (all of one name) and an API key. */
import type { DataSource } from 'typeorm';
import { hashSecret, hintOf, newSecret } from '../../src/conductor/identity/secrets.js';

export interface CloudTenant {
  /** Of the organization, its environment and its keypair. */
  readonly name: string;
  readonly key: string;
}

export async function addTenant(database: DataSource, name: string, publicKey: string): Promise<CloudTenant> {
  const key = newSecret('key');
  await database.query(
    `WITH o AS (INSERT INTO organization (name) VALUES ($1) RETURNING id),
          u AS (INSERT INTO user_account (email, username, name) VALUES ($1 || '@example.org', $1, $1) RETURNING id),
          m AS (INSERT INTO membership (organization_id, user_id, role) SELECT o.id, u.id, 'owner' FROM o, u),
          e AS (INSERT INTO environment (organization_id, region_id, name, subnet)
                SELECT o.id, r.id, $1, free_subnet('10.128.0.0/9', 20) FROM o, region r WHERE r.name = 'default-1' RETURNING id),
          k AS (INSERT INTO keypair (environment_id, name, public_key, fingerprint) SELECT id, $1, $2, '' FROM e)
     INSERT INTO api_key (organization_id, user_id, name, key_hash, hint) SELECT o.id, u.id, $1, $3, $4 FROM o, u`,
    [name, publicKey, hashSecret(key), hintOf(key)],
  );
  return { name, key };
}
