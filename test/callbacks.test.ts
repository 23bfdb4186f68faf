import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { randomUUID } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { CallbackDeliverer } from '../src/conductor/callbacks/callback-deliverer.js';
import { CallbacksModule } from '../src/conductor/callbacks/callbacks.module.js';
import { CloudRows, type Machine, type Tenant } from './fixtures/cloud-rows.js';
import { startFeatures } from './fixtures/feature-app.js';
import { migratedDatabase, type TestDatabase } from './fixtures/test-database.js';
import { WebhookReceiver } from './fixtures/webhook-receiver.js';
import { eventually } from './support/eventually.js';

interface DeliveryRow {
  readonly state: string;
  readonly attempts: number;
  readonly response_status: number | null;
  readonly last_error: string | null;
  readonly finished_at: Date | null;
  readonly pause_seconds: number;
}

/** Fields of all answers of this feature; each has some. */
interface Answer {
  readonly signing_secrets: { readonly secret: string; readonly expires_at: string | null }[];
  readonly callback_deliveries: unknown[];
  readonly callback_delivery: { readonly state: string };
}

describe('callbacks', () => {
  let database: TestDatabase;
  let rows: CloudRows;
  let tenant: Tenant;
  let machine: Machine;
  let receiver: WebhookReceiver;
  const apps: NestFastifyApplication[] = [];

  beforeAll(async () => {
    database = await migratedDatabase();
    rows = new CloudRows(database.dataSource);
  });
  afterAll(async () => await database?.dataSource.destroy());

  beforeEach(async () => {
    receiver = await WebhookReceiver.start();
    tenant = await rows.tenant();
    machine = await rows.machine(tenant);
  });
  afterEach(async () => {
    await Promise.all(apps.splice(0).map((app) => app.close()));
    await receiver.stop();
    await database.dataSource.query(`DELETE FROM callback_delivery`);
  });

  const conductor = async (egressAllow = '127.0.0.0/8'): Promise<NestFastifyApplication> => {
    const app = await startFeatures(database.url, [CallbacksModule], egressAllow);
    apps.push(app);
    return app;
  };
  const wake = (): void => apps.forEach((app) => app.get(CallbackDeliverer).wake());
  const enqueue = async (change: { url?: string; body?: string; vm?: Machine } = {}): Promise<string> => {
    const vm = change.vm ?? machine;
    const id = randomUUID();
    await database.dataSource.query(
      `INSERT INTO callback_delivery (id, organization_id, virtual_machine_id, url, body, created_at)
       VALUES ($1, $2, $3, $4, $5, clock_timestamp())`,
      [id, vm.tenant.organizationId, vm.id, change.url ?? receiver.url('/hook'), change.body ?? '{"n":1}'],
    );
    return id;
  };
  const delivery = async (id: string): Promise<DeliveryRow> =>
    (
      await database.dataSource.query<DeliveryRow[]>(
        `SELECT state, attempts, response_status, last_error, finished_at,
                extract(epoch FROM available_at - now())::float AS pause_seconds
           FROM callback_delivery WHERE id = $1`,
        [id],
      )
    )[0]!;
  const deliveryThat = async (id: string, expected: Partial<DeliveryRow>): Promise<DeliveryRow> =>
    await eventually(async () => {
      const row = await delivery(id);
      expect(row).toMatchObject(expected);
      return row;
    });
  /** As if the pause before the next attempt were over. */
  const pauseIsOver = async (id: string): Promise<void> => {
    await database.dataSource.query(`UPDATE callback_delivery SET available_at = now() WHERE id = $1`, [id]);
    wake();
  };
  const call = async (method: string, path: string, by: Tenant = tenant): Promise<{ status: number; body: Answer }> => {
    const answer = await fetch(`${await apps[0]!.getUrl()}/v1/core/${path}`, {
      method,
      headers: { api_key: by.apiKey },
    });
    return { status: answer.status, body: (await answer.json()) as Answer };
  };
  const secrets = async (by: Tenant = tenant): Promise<string[]> =>
    (await call('GET', 'callbacks/signing-secrets', by)).body.signing_secrets.map(({ secret }) => secret);

  it('reach their receiver signed, with the URL as it was given', async () => {
    const id = await enqueue({ url: receiver.url("/a/../Hook?Token=AbC'&x={y}#part"), body: '{"é":"\u202E"}' });
    await conductor();
    const done = await deliveryThat(id, { state: 'delivered', attempts: 1, response_status: 200, last_error: null });
    expect(done.finished_at).toBeInstanceOf(Date);
    const [request] = receiver.requests;
    expect(request).toMatchObject({ method: 'POST', path: "/a/../Hook?Token=AbC'&x={y}" });
    expect(request!.headers).toMatchObject({ 'webhook-id': id, 'content-type': 'application/json' });
    expect(request!.headers['user-agent']).toMatch(/^Baton\//);
    expect(Object.keys(request!.headers)).not.toEqual(expect.arrayContaining(['authorization']));
    const [secret] = await secrets();
    expect(new Webhook(secret!).verify(request!.body, request!.headers)).toEqual({ é: '\u202E' });
  });

  it('are tried again after a failure, with the same webhook-id', async () => {
    receiver.answers.push(500, 200);
    const id = await enqueue();
    await conductor();
    const failed = await deliveryThat(id, {
      state: 'pending',
      attempts: 1,
      response_status: 500,
      last_error: 'the receiver answered 500',
    });
    expect(failed.pause_seconds).toBeGreaterThan(3);
    expect(failed.pause_seconds).toBeLessThan(6);
    await pauseIsOver(id);
    await deliveryThat(id, { state: 'delivered', attempts: 2, response_status: 200, last_error: null });
    expect(receiver.requests.map(({ headers }) => headers['webhook-id'])).toEqual([id, id]);
  });

  it('are given up after a day of failures', async () => {
    receiver.answers.push(...Array.from({ length: 9 }, () => 503));
    const id = await enqueue();
    await database.dataSource.query('UPDATE callback_delivery SET attempts = 7 WHERE id = $1', [id]);
    await conductor();
    const { finished_at } = await deliveryThat(id, { state: 'failed', attempts: 8, response_status: 503 });
    expect(finished_at).toBeInstanceOf(Date);
  });

  it('are given up at once when the receiver is gone for good', async () => {
    receiver.answers.push(410);
    const id = await enqueue();
    await conductor();
    await deliveryThat(id, { state: 'failed', attempts: 1, response_status: 410 });
  });

  it('never reach a private address, not even to connect', async () => {
    const ids = await Promise.all(
      [
        receiver.url('/'),
        receiver.url('/').replace('127.0.0.1', '2130706433'),
        receiver.url('/').replace('127.0.0.1', 'localhost'),
      ].map(async (url) => await enqueue({ url, vm: await rows.machine(tenant) })),
    );
    await conductor('');
    for (const id of ids) {
      const { last_error } = await deliveryThat(id, { state: 'pending', attempts: 1, response_status: null });
      expect(last_error).toContain('private or reserved address');
    }
    expect(receiver.connections).toBe(0);
  });

  it('do not follow redirects', async () => {
    const target = await WebhookReceiver.start();
    receiver.answers.push(307);
    receiver.location = target.url('/elsewhere');
    const id = await enqueue();
    await conductor();
    const { last_error } = await deliveryThat(id, { state: 'pending', attempts: 1, response_status: 307 });
    expect(last_error).toContain('redirects are not followed');
    expect(target.connections).toBe(0);
    await target.stop();
  });

  it('say in our own words what went wrong', async () => {
    const port = new URL(receiver.url('/')).port;
    await receiver.stop();
    const id = await enqueue({ url: `http://127.0.0.1:${port}/hook?token=secret` });
    await conductor();
    await deliveryThat(id, { attempts: 1, response_status: null, last_error: 'the connection was refused' });
  });

  it('are delivered once, however many conductors there are', async () => {
    await Promise.all([conductor(), conductor(), conductor()]);
    const machines = await Promise.all(Array.from({ length: 20 }, () => rows.machine(tenant)));
    const ids: string[] = [];
    for (let round = 0; round < 5; round += 1) for (const vm of machines) ids.push(await enqueue({ vm }));
    const nudging = setInterval(wake, 5);
    try {
      await eventually(async () => {
        const [{ count }] = await database.dataSource.query(
          `SELECT count(*)::int FROM callback_delivery WHERE state = 'delivered'`,
        );
        expect(count).toBe(ids.length);
      });
    } finally {
      clearInterval(nudging);
    }
    const received = receiver.requests.map(({ headers }) => headers['webhook-id']);
    expect(received).toHaveLength(ids.length);
    expect(new Set(received)).toEqual(new Set(ids));
  });

  it('of one VM arrive in order', async () => {
    const bodies = Array.from({ length: 10 }, (_, n) => `{"n":${n}}`);
    for (const body of bodies) await enqueue({ body });
    await Promise.all([conductor(), conductor()]);
    await eventually(() => expect(receiver.requests).toHaveLength(bodies.length));
    expect(receiver.requests.map(({ body }) => body)).toEqual(bodies);
  });

  it('are not held up by an earlier one of the VM that keeps failing', async () => {
    receiver.answers.push(500, 200);
    const [first, second] = [await enqueue({ body: '{"n":1}' }), await enqueue({ body: '{"n":2}' })];
    await conductor();
    await deliveryThat(second, { state: 'delivered' });
    await deliveryThat(first, { state: 'pending', attempts: 1 });
    expect(receiver.requests.map(({ body }) => body)).toEqual(['{"n":1}', '{"n":2}']);
  });

  it('are not held up by a receiver that never answers', async () => {
    const silent = await WebhookReceiver.start({ silent: true });
    const machines = await Promise.all(Array.from({ length: 30 }, () => rows.machine(tenant)));
    for (const vm of machines) await enqueue({ vm, url: silent.url('/') });
    const id = await enqueue();
    await conductor();
    await deliveryThat(id, { state: 'delivered' });
    await eventually(() => expect(silent.requests.length).toBeGreaterThan(0));
    expect(silent.requests.length).toBeLessThanOrEqual(8);
    await silent.stop();
  }, 30_000);

  it('are finished before the conductor ends', async () => {
    receiver.delayMs = 300;
    const id = await enqueue();
    const app = await conductor();
    await eventually(() => expect(receiver.requests).toHaveLength(1));
    expect((await delivery(id)).state).toBe('pending');
    await app.close();
    apps.length = 0;
    expect(await delivery(id)).toMatchObject({ state: 'delivered', attempts: 1 });
  });

  it('are taken over from a conductor that died, when its lease ends', async () => {
    const id = await enqueue();
    await database.dataSource.query(
      `UPDATE callback_delivery SET available_at = now() + interval '60 seconds' WHERE id = $1`,
      [id],
    );
    await conductor();
    const later = await enqueue({ vm: await rows.machine(tenant) });
    wake();
    await deliveryThat(later, { state: 'delivered' });
    expect(await delivery(id)).toMatchObject({ state: 'pending', attempts: 0 });
    await pauseIsOver(id);
    await deliveryThat(id, { state: 'delivered', attempts: 1 });
  });

  describe('for their owner', () => {
    it('have one signing secret, even if it is asked for many times at once', async () => {
      await conductor();
      const answers = await Promise.all(Array.from({ length: 10 }, () => secrets()));
      expect(new Set(answers.flat()).size).toBe(1);
      expect(answers[0]![0]).toMatch(/^whsec_/);
      expect(await secrets(await rows.tenant())).not.toEqual(answers[0]);
    });

    it('are signed by the old and the new secret for a day after a rotation', async () => {
      await conductor();
      const [old] = await secrets();
      const { status, body } = await call('POST', 'callbacks/signing-secrets/rotate');
      expect(status).toBe(200);
      const [current, previous] = body.signing_secrets as [Answer['signing_secrets'][0], Answer['signing_secrets'][0]];
      expect(current).toMatchObject({ expires_at: null });
      expect(previous.secret).toBe(old);
      const hoursLeft = (Date.parse(`${previous.expires_at}Z`) - Date.now()) / 3_600_000;
      expect(hoursLeft).toBeGreaterThan(23.9);
      expect(hoursLeft).toBeLessThanOrEqual(24);

      await deliveryThat(await enqueue(), { state: 'delivered' });
      const [request] = receiver.requests;
      for (const secret of [old!, current.secret])
        expect(() => new Webhook(secret).verify(request!.body, request!.headers)).not.toThrow();

      await database.dataSource.query('UPDATE signing_secret SET expires_at = now() WHERE secret = $1', [old]);
      expect(await secrets()).toEqual([current.secret]);
      await deliveryThat(await enqueue(), { state: 'delivered' });
      expect(() => new Webhook(old!).verify(receiver.requests[1]!.body, receiver.requests[1]!.headers)).toThrow();
    });

    it('cannot pile up signing secrets', async () => {
      await conductor();
      const statuses: number[] = [];
      for (let count = 0; count < 6; count += 1)
        statuses.push((await call('POST', 'callbacks/signing-secrets/rotate')).status);
      expect(statuses).toEqual([200, 200, 200, 200, 200, 429]);
    });

    it('are logged, newest first', async () => {
      receiver.answers.push(200, 500);
      const [first, second] = [await enqueue(), await enqueue()];
      await conductor();
      await deliveryThat(second, { attempts: 1 });
      const { status, body } = await call('GET', `virtual-machines/${machine.id}/callback-deliveries`);
      expect(status).toBe(200);
      expect(body.callback_deliveries).toMatchObject([
        { id: second, vm_id: machine.id, state: 'pending', attempts: 1, response_status: 500, finished_at: null },
        { id: first, state: 'delivered', response_status: 200, last_error: null, next_attempt_at: null },
      ]);
    });

    it('can be sent once more, under the same id', async () => {
      receiver.answers.push(410, 200);
      const id = await enqueue();
      await conductor();
      await deliveryThat(id, { state: 'failed' });
      const { status, body } = await call('POST', `callbacks/deliveries/${id}/replay`);
      expect([status, body.callback_delivery.state]).toEqual([200, 'pending']);
      await deliveryThat(id, { state: 'delivered', attempts: 1 });
      expect(receiver.requests.map(({ headers }) => headers['webhook-id'])).toEqual([id, id]);
      const events = await database.dataSource.query(
        'SELECT reason, user_id FROM event WHERE virtual_machine_id = $1',
        [machine.id],
      );
      expect(events).toEqual([{ reason: 'CallbackReplayRequest', user_id: tenant.userId }]);
    });

    it('cannot be replayed while they are being delivered', async () => {
      receiver.answers.push(500);
      const id = await enqueue();
      await conductor();
      await deliveryThat(id, { attempts: 1 });
      expect((await call('POST', `callbacks/deliveries/${id}/replay`)).status).toBe(409);
    });

    it('do not exist for another organization, nor without a key', async () => {
      const id = await enqueue();
      await conductor();
      await deliveryThat(id, { state: 'delivered' });
      const stranger = await rows.tenant();
      const foreign = [
        await call('GET', `virtual-machines/${machine.id}/callback-deliveries`, stranger),
        await call('POST', `callbacks/deliveries/${id}/replay`, stranger),
        await call('POST', 'callbacks/deliveries/not-a-uuid/replay'),
        await call('GET', 'virtual-machines/99999999999/callback-deliveries'),
      ];
      expect(foreign.map(({ status }) => status)).toEqual([404, 404, 404, 404]);
      const nobody = { ...tenant, apiKey: 'wrong' };
      for (const [method, path] of [
        ['GET', 'callbacks/signing-secrets'],
        ['POST', 'callbacks/signing-secrets/rotate'],
        ['GET', `virtual-machines/${machine.id}/callback-deliveries`],
        ['POST', `callbacks/deliveries/${id}/replay`],
      ] as const)
        expect((await call(method, path, nobody)).status).toBe(401);
      expect(receiver.requests).toHaveLength(1);
    });
  });
});
