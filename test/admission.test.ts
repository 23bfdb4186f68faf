/** A conductor under more than it can carry: who is refused, with what, and who is served all the same. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fsck } from '../src/conductor/admin/fsck.js';
import { startCloud, type Answer, type Cloud } from './support/cloud.js';
import { eventually } from './support/eventually.js';

const SLOTS = 16;
const OPERATOR_KEY = 'operator-key-of-the-test-fleet';

let cloud: Cloud;
let release: (() => Promise<void>) | undefined;

beforeAll(async () => {
  cloud = await startCloud({ settings: { BATON_MAX_REQUESTS: String(SLOTS), BATON_OPERATOR_KEY: OPERATOR_KEY, BATON_DATABASE_POOL: '40' } });
});
afterEach(async () => await release?.());
afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
});

const asDemo = () => ({ api_key: cloud.demo.key });
const asOther = () => ({ api_key: cloud.other.key });

/** Whoever lists keypairs waits until it is let go. */
async function holdKeypairs(): Promise<void> {
  const runner = cloud.database.createQueryRunner();
  await runner.startTransaction();
  await runner.query('LOCK TABLE keypair IN ACCESS EXCLUSIVE MODE');
  release = async () => {
    release = undefined;
    await runner.rollbackTransaction();
    await runner.release();
  };
}

const waiting = async (): Promise<number> => {
  const [{ count }] = await cloud.database.query<[{ count: number }]>(
    `SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  );
  return count;
};

async function flood(headers: Record<string, string>, requests: number): Promise<Promise<Answer>[]> {
  // Once before, so that it is known whose key it is.
  await cloud.request('GET', '/v1/core/environments', undefined, headers);
  await holdKeypairs();
  const answers = Array.from({ length: requests }, () => cloud.request('GET', '/v1/core/keypairs', undefined, headers));
  await eventually(async () => expect(await waiting()).toBeGreaterThanOrEqual(Math.min(requests, SLOTS / 2)));
  return answers;
}

describe('a conductor that is asked for more than it can carry', () => {
  it('refuses the organization that floods it, and serves another one', async () => {
    const answers = await flood(asDemo(), 3 * SLOTS);
    let settled = 0;
    for (const answer of answers) void answer.then(() => settled++);
    await eventually(async () => expect(settled).toBe(3 * SLOTS - SLOTS / 2));
    const refused = await cloud.request('GET', '/v1/core/environments', undefined, asDemo());
    expect(refused.status).toBe(429);
    expect(refused.headers['retry-after']).toBe('1');
    expect(refused.body).toEqual({ status: false, message: expect.stringContaining('share'), error_reason: 'too_many_requests' });

    expect((await cloud.request('GET', '/v1/core/environments', undefined, asOther())).status).toBe(200);
    await release?.();
    const statuses = (await Promise.all(answers)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(SLOTS / 2);
    expect(statuses.filter((status) => status === 429)).toHaveLength(3 * SLOTS - SLOTS / 2);
  });

  it('takes requests again as soon as those in hand are answered', async () => {
    const answers = await flood(asDemo(), SLOTS / 2);
    await release?.();
    await Promise.all(answers);
    expect((await cloud.request('GET', '/v1/core/environments', undefined, asDemo())).status).toBe(200);
  });

  it('says 503 when every slot is taken, and still serves workers, operators and health checks', async () => {
    await cloud.request('GET', '/v1/core/environments', undefined, asOther());
    const answers = await flood(asDemo(), SLOTS);
    const others = Array.from({ length: SLOTS }, () => cloud.request('GET', '/v1/core/keypairs', undefined, asOther()));
    const strangers = Array.from({ length: SLOTS }, () => cloud.request('GET', '/v1/core/keypairs', undefined, { api_key: `baton_key_${Math.random()}` }));
    expect((await cloud.request('GET', '/healthz')).status).toBe(200);
    expect((await cloud.request('GET', '/readyz')).status).toBe(200);
    expect((await cloud.request('GET', '/admin/nodes', undefined, { authorization: `Bearer ${OPERATOR_KEY}` })).status).toBe(200);
    const beat = async (): Promise<Date> => {
      const [{ beat_at }] = await cloud.database.query<[{ beat_at: Date }]>('SELECT beat_at FROM compute_node_heartbeat');
      return beat_at;
    };
    const before = await beat();
    await eventually(async () => expect((await beat()).getTime()).toBeGreaterThan(before.getTime()));
    await release?.();
    const statuses = (await Promise.all([...answers, ...others, ...strangers])).map(({ status }) => status);
    expect(new Set(statuses)).toEqual(new Set([200, 401, 429, 503]));
  });

  it('gives nothing back for a client that goes away while its request is being worked on, and all of it afterwards', async () => {
    await cloud.request('GET', '/v1/core/environments', undefined, asDemo());
    await holdKeypairs();
    const { hostname, port } = new URL(cloud.url);
    for (let count = 0; count < SLOTS / 2; count += 1) {
      const socket = connect(Number(port), hostname);
      socket.on('error', () => undefined);
      socket.write(`GET /v1/core/keypairs HTTP/1.1\r\nhost: test\r\napi_key: ${cloud.demo.key}\r\n\r\n`);
      await eventually(async () => expect(await waiting()).toBe(count + 1));
      socket.destroy();
    }
    await sleep(50);
    expect((await cloud.request('GET', '/v1/core/environments', undefined, asDemo())).status).toBe(429);
    await release?.();
    await eventually(async () => expect((await cloud.request('GET', '/v1/core/environments', undefined, asDemo())).status).toBe(200));
    const answers = await flood(asDemo(), SLOTS / 2);
    await release?.();
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual(Array(SLOTS / 2).fill(200));
  });

  it('does not ask the database about keys from an address that sent too many wrong ones', async () => {
    const wrong = (count: number) => cloud.request('GET', '/v1/core/environments', undefined, { api_key: `baton_key_wrong-${count}` });
    let answer = await wrong(0);
    for (let count = 1; count < 300 && answer.status !== 429; count += 1) answer = await wrong(count);
    expect(answer.status).toBe(429);
    expect(answer.body).toMatchObject({ status: false, message: expect.stringContaining('wrong keys') });
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    // From the same address.
    expect((await cloud.request('GET', '/v1/core/environments', undefined, asDemo())).status).toBe(200);
  });
});
