/** Join tokens: what a new node shows once to be issued its own key. Stored hashed, limited in uses and time. */
import type { DataSource } from 'typeorm';
import { hashSecret, newSecret } from '../identity/secrets.js';

export interface JoinTokenLimits {
  readonly uses: number;
  readonly ttlSeconds: number;
}

/** @returns the token in clear, for the only time. */
export async function createJoinToken(dataSource: DataSource, { uses, ttlSeconds }: JoinTokenLimits): Promise<string> {
  const token = newSecret('join');
  await dataSource.query(
    'INSERT INTO join_token (token_hash, uses_left, expires_at) VALUES ($1, $2, now() + make_interval(secs => $3))',
    [hashSecret(token), uses, ttlSeconds],
  );
  return token;
}

/** Uses a token up by one. @returns false when it is unknown, expired or used up. */
export async function redeemJoinToken(dataSource: Pick<DataSource, 'query'>, token: string): Promise<boolean> {
  const [, affected] = await dataSource.query<[unknown, number]>(
    'UPDATE join_token SET uses_left = uses_left - 1 WHERE token_hash = $1 AND uses_left > 0 AND expires_at > now()',
    [hashSecret(token)],
  );
  return affected === 1;
}
