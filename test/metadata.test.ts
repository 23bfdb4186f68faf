import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { parse } from 'yaml';
import { MetadataModule } from '../src/conductor/metadata/metadata.module.js';
import { LOOKUPS } from '../src/conductor/admission/failed-attempts.js';
import { CloudRows, type Machine } from './fixtures/cloud-rows.js';
import { startFeatures } from './fixtures/feature-app.js';
import { migratedDatabase, type TestDatabase } from './fixtures/test-database.js';

describe('the metadata service', () => {
  const TOKEN = 'a-token-that-only-the-guest-knows';
  const USER_DATA = '#!/bin/sh\r\necho "$(id)" \u202E ]]> é\n\n';
  const KEYS = ['ssh-ed25519 AAAAC3 first', 'ssh-rsa AAAAB3 second'];
  let database: TestDatabase;
  let rows: CloudRows;
  let app: NestFastifyApplication;
  let machine: Machine;
  let incarnationId: number;

  beforeAll(async () => {
    database = await migratedDatabase();
    rows = new CloudRows(database.dataSource);
  });
  afterAll(async () => await database?.dataSource.destroy());

  beforeEach(async () => {
    app = await startFeatures(database.url, [MetadataModule], '');
    machine = await rows.machine(await rows.tenant(), { name: 'Web 1', userData: USER_DATA, publicKeys: KEYS });
    incarnationId = await rows.incarnation(machine, TOKEN);
  });
  afterEach(async () => await app?.close());

  const fetchPath = async (path: string, init?: RequestInit): Promise<Response> =>
    await fetch(`${await app.getUrl()}${path}`, init);
  const seed = (document: string, token = TOKEN, uuid = machine.uuid): string =>
    `/metadata/${token}/${uuid}/${document}`;
  const phoneHome = (hostname: string): Promise<Response> =>
    fetchPath(seed('phone-home'), {
      method: 'POST',
      body: new URLSearchParams({ hostname, instance_id: machine.uuid }),
    });
  const events = async (): Promise<{ reason: string; message: string; object: string }[]> =>
    await database.dataSource.query('SELECT reason, message, object FROM event WHERE virtual_machine_id = $1', [
      machine.id,
    ]);
  const reachableAt = async (): Promise<Date | null> =>
    (await database.dataSource.query('SELECT reachable_at FROM virtual_machine WHERE id = $1', [machine.id]))[0]
      .reachable_at;

  it('gives a guest its documents', async () => {
    const metaData = await fetchPath(seed('meta-data'));
    expect(metaData.status).toBe(200);
    expect(parse(await metaData.text())).toMatchObject({
      'instance-id': machine.uuid,
      'local-hostname': 'web-1',
      'public-keys': KEYS,
      'availability-zone': 'default-1',
    });
    expect(Buffer.from(await (await fetchPath(seed('user-data'))).arrayBuffer()).toString()).toBe(USER_DATA);
    expect(await (await fetchPath(seed('vendor-data'))).text()).toContain('phone_home:');
    expect(await (await fetchPath(seed('openstack'))).json()).toEqual({
      uuid: machine.uuid,
      name: 'web-1',
      hostname: 'web-1',
      availability_zone: 'default-1',
      meta: { hyperstack_vm_id: String(machine.id) },
      devices: [],
    });
    expect(parse(await (await fetchPath(seed('network-config'))).text())).toMatchObject({ version: 2 });
  });

  it('gives empty user-data to a guest that was given none', async () => {
    const plain = await rows.machine(machine.tenant);
    await rows.incarnation(plain, TOKEN);
    const answer = await fetchPath(seed('user-data', TOKEN, plain.uuid));
    expect([answer.status, await answer.text()]).toEqual([200, '']);
  });

  it('answers the same 404 for a wrong token, another VM, an ended incarnation, no VM and no document', async () => {
    const other = await rows.machine(machine.tenant);
    await rows.incarnation(other, 'the-token-of-the-other');
    const ended = await rows.machine(machine.tenant);
    const endedId = await rows.incarnation(ended, TOKEN);
    await database.dataSource.query('UPDATE incarnation SET ended_at = now(), claimed = false WHERE id = $1', [
      endedId,
    ]);
    const paths = [
      seed('meta-data', 'wrong'),
      seed('meta-data', TOKEN, other.uuid),
      seed('meta-data', TOKEN, ended.uuid),
      seed('meta-data', TOKEN, '00000000-0000-4000-8000-000000000000'),
      seed('meta-data', TOKEN, 'not-a-uuid'),
      seed('meta-data', "' OR 1=1 --"),
      seed('meta-data', '%00'),
      seed('constructor'),
      seed('secrets'),
    ];
    for (const path of paths) {
      const answer = await fetchPath(path);
      expect([path, answer.status, await answer.text()]).toEqual([path, 404, 'Not found\n']);
    }
    expect((await fetchPath(seed('phone-home', 'wrong'), { method: 'POST', body: new URLSearchParams() })).status).toBe(
      404,
    );
  });

  it('gives the old token nothing once the VM has a new incarnation', async () => {
    await database.dataSource.query('UPDATE incarnation SET ended_at = now(), claimed = false WHERE id = $1', [
      incarnationId,
    ]);
    await rows.incarnation(machine, 'the-token-of-the-new-life');
    expect((await fetchPath(seed('user-data'))).status).toBe(404);
    expect((await fetchPath(seed('user-data', 'the-token-of-the-new-life'))).status).toBe(200);
  });

  it('lets no header choose whose metadata is served', async () => {
    const spoofed = {
      'x-forwarded-for': '10.0.0.9',
      forwarded: 'for=10.0.0.9;host=evil.example',
      'x-real-ip': '10.0.0.9',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-prefix': `/metadata/${TOKEN}`,
      'x-original-url': seed('user-data'),
      'x-instance-id': machine.uuid,
    };
    expect((await fetchPath(seed('meta-data', 'wrong'), { headers: spoofed })).status).toBe(404);
    const plain = await (await fetchPath(seed('meta-data'))).text();
    expect(await (await fetchPath(seed('meta-data'), { headers: spoofed })).text()).toBe(plain);
    const vendorData = await (await fetchPath(seed('vendor-data'), { headers: spoofed })).text();
    expect(vendorData).not.toContain('evil.example');
  });

  it('notes that the guest is reachable when it phones home for the first time, and only then', async () => {
    const answers = await Promise.all(Array.from({ length: 5 }, () => phoneHome('web-1')));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    const first = await reachableAt();
    expect(first).toBeInstanceOf(Date);
    expect(await events()).toEqual([
      { reason: 'InstanceReachable', object: 'Web 1', message: 'The guest has booted and calls itself web-1' },
    ]);
    expect(await (await phoneHome('web-1')).text()).toBe('ok\n');
    expect(await reachableAt()).toEqual(first);
  });

  it('takes a phone call as JSON, and without a word', async () => {
    const json = { method: 'POST', body: '{"hostname":["not text"]}', headers: { 'content-type': 'application/json' } };
    expect((await fetchPath(seed('phone-home'), json)).status).toBe(200);
    expect((await fetchPath(seed('phone-home'), { method: 'POST' })).status).toBe(200);
    expect((await events()).map(({ message }) => message)).toEqual(['The guest has booted']);
  });

  it('writes down nothing but printable text of what a guest says', async () => {
    await phoneHome(`evil\r\n\u001b[31m\u202E\u0000<b>${'x'.repeat(1000)}`);
    const [event] = await events();
    expect(event!.message).toMatch(/^The guest has booted and calls itself evil\[31m<b>x+$/);
    expect(event!.message.length).toBeLessThan(300);
  });

  it('refuses to read a long story', async () => {
    expect((await phoneHome('x'.repeat(70_000))).status).toBe(413);
    expect(await reachableAt()).toBeNull();
  });

  it('limits clients that keep failing, but not the guests behind the same address', async () => {
    const spoofing = (count: number): RequestInit => ({ headers: { 'x-forwarded-for': `10.0.0.${count}` } });
    for (let count = 0; count < LOOKUPS.burst; count += 1) await fetchPath(seed('meta-data', 'wrong'), spoofing(count));
    const limited = await fetchPath(seed('meta-data', 'wrong'), spoofing(99));
    expect(limited.status).toBe(429);
    expect(Number(limited.headers.get('retry-after'))).toBeGreaterThan(0);
    const guests = await Promise.all(Array.from({ length: 200 }, () => fetchPath(seed('meta-data'))));
    expect(new Set(guests.map(({ status }) => status))).toEqual(new Set([200]));
  });
});
