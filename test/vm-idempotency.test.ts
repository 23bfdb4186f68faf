/** Requests that come again, or all at once: `Idempotency-Key`, names that several want, and `dry_run`. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { startCloud, type Answer, type Cloud } from './support/cloud.js';
import { VmClient } from './support/vm-client.js';

let cloud: Cloud;
let vms: VmClient;
let others: VmClient;

beforeAll(async () => {
  cloud = await startCloud({ conductors: 2 });
  vms = new VmClient(cloud);
  others = new VmClient(cloud, cloud.other);
}, 60_000);

afterAll(async () => {
  await cloud.stop();
});

const newKey = (): Record<string, string> => ({ 'Idempotency-Key': randomUUID() });

/** Sends the same request so many times at once, to every conductor in turn. */
const atOnce = (times: number, change: object, headers: Record<string, string> = {}): Promise<Answer[]> =>
  Promise.all(
    Array.from({ length: times }, (_, n) => new VmClient(cloud, cloud.demo, n % cloud.urls.length).post(change, headers)),
  );

const statuses = (answers: readonly Answer[]): Record<number, number> => {
  const counts: Record<number, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
};

describe('the same Idempotency-Key', () => {
  it('with the same body gets the first answer, and makes no second VM', async () => {
    const key = newKey();
    const first = await vms.post({}, key);
    const before = await vms.count();
    const second = await vms.post({}, key);
    expect(second.status).toBe(200);
    expect(second.body).toEqual(first.body);
    expect(await vms.count()).toBe(before);
  });

  it('with another body is 422, and makes no VM', async () => {
    const key = newKey();
    await vms.post({}, key);
    const before = await vms.count();
    const { status, body } = await vms.post({ labels: ['other'] }, key);
    expect({ status, reason: body.error_reason }).toEqual({ status: 422, reason: 'unprocessable' });
    expect(await vms.count()).toBe(before);
  });

  it.each<[string, { readonly name?: string; readonly count?: number }]>([
    ['an assigned name', {}],
    ['a name of its own', { name: 'sent-twenty-times' }],
    ['several VMs', { name: 'sent-as-three', count: 3 }],
  ])('twenty times at once makes what was asked for once: %s', async (_, change) => {
    const before = await vms.count();
    const answers = await atOnce(20, change, newKey());
    expect(statuses(answers)).toEqual({ 200: 20 });
    for (const { body } of answers) expect(body).toEqual(answers[0]!.body);
    expect(await vms.count()).toBe(before + (change.count ?? 1));
  });

  it('of another organization stands for another request', async () => {
    const key = newKey();
    const ours = await vms.post({ name: 'ours' }, key);
    const theirs = await others.post({ name: 'theirs' }, key);
    expect([ours.status, theirs.status]).toEqual([200, 200]);
    expect(theirs.body.instances[0].name).toBe('theirs');
  });

  it('may be used again after a refusal, which changed nothing', async () => {
    const key = newKey();
    expect((await vms.post({ name: 'late', environment_name: 'missing' }, key)).status).toBe(404);
    expect((await vms.post({ name: 'late' }, key)).status).toBe(200);
  });

  it.each([['empty', ''], ['with a space', 'a b'], ['too long', 'x'.repeat(256)], ['not ASCII', 'schl\u00fcssel']])(
    'is refused when it is %s',
    async (_, key) => {
      const before = await vms.count();
      expect((await vms.post({}, { 'Idempotency-Key': key })).status).toBe(400);
      expect(await vms.count()).toBe(before);
    },
  );
});

describe('one name', () => {
  it('that twenty want at once is given to exactly one, and the others are told', async () => {
    const answers = await atOnce(20, { name: 'wanted' });
    expect(statuses(answers)).toEqual({ 200: 1, 409: 19 });
    for (const { body, status } of answers)
      if (status === 409) expect(body).toMatchObject({ error_reason: 'already_exist' });
    expect((await vms.get('?search=wanted')).body.count).toBe(1);
  });

  it('that is taken in the middle of a series keeps the whole series from being made', async () => {
    await vms.post({ name: 'row-2' });
    expect((await vms.post({ name: 'row', count: 3 })).status).toBe(409);
    expect((await vms.get('?search=row-')).body.count).toBe(1);
  });

  it('leaves no claim behind when it was refused', async () => {
    const [{ sum, used }] = await cloud.database.query(
      `SELECT (SELECT sum(vcpus)::int FROM incarnation WHERE claimed) AS sum, (SELECT vcpus_used FROM compute_node) AS used`,
    );
    expect(used).toBe(sum);
  });
});

describe('a dry run', () => {
  it.each(['dry_run=true', 'dry_run', 'dry_run=1', 'dry_run=True'])('says where there is room, and creates nothing: %s', async (query) => {
    const before = await vms.count();
    const { status, body } = await vms.post({ name: 'imagined', count: 2 }, {}, `?${query}`);
    expect({ status, instances: body.instances }).toEqual({ status: 200, instances: [] });
    expect(body.message).toContain('There is room for 2 × 1 vCPU, 0.25 GiB, 1 GiB disk in region default-1');
    expect(await vms.count()).toBe(before);
    const [{ used, sum }] = await cloud.database.query(
      `SELECT (SELECT sum(vcpus)::int FROM incarnation WHERE claimed) AS sum, (SELECT vcpus_used FROM compute_node) AS used`,
    );
    expect(used).toBe(sum);
  });

  it('creates when it is switched off', async () => {
    expect((await vms.post({}, {}, '?dry_run=false')).body.instances).toHaveLength(1);
  });

  it.each([{}, { dry: true }])('and a creation tell why nothing fits: counts by filter and the nearest miss', async ({ dry }: { dry?: boolean }) => {
    const { status, body } = await vms.post({ flavor_name: 'n3-H100x8' }, {}, dry ? '?dry_run=true' : '');
    expect({ status, reason: body.error_reason }).toEqual({ status: 409, reason: 'no_capacity' });
    expect(body.message).toMatch(/^No node can take 1 × 192 vCPUs, .*8 .*H100.* in region default-1: of 1 node, 1 .+\. Nearest: node-1 .+\.$/);
  });

  it('is refused like a creation', async () => {
    expect((await vms.post({ image_name: 'missing' }, {}, '?dry_run=true')).status).toBe(404);
    expect((await vms.post({ node: 1 }, {}, '?dry_run=true')).status).toBe(400);
  });
});
