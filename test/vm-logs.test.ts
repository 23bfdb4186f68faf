/** The serial consoles of VMs: asked for, read on the node, fetched. */
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { NodeKeyFile } from '../src/compute/uplink/node-key.js';
import { fsck } from '../src/conductor/admin/fsck.js';
import { startCloud, type Cloud, type Headers, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { mismatches } from './support/infrahub-model.js';
import { VmClient } from './support/vm-client.js';

// Longer than the patience of a single expectation.
jest.setTimeout(30_000);

let cloud: Cloud;
let vms: VmClient;
let vm: Json;

beforeAll(async () => {
  cloud = await startCloud({ nodes: 2 });
  vms = new VmClient(cloud);
  vm = await vms.active({ name: 'talker' });
});
afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
});

async function requested(id: number, body: object = {}): Promise<number> {
  const answer = await vms.send('POST', `/${id}/logs`, body);
  expect(answer.status).toBe(200);
  expect(mismatches('RequestInstanceLogsResponse', answer.body)).toEqual([]);
  return answer.body.request_id;
}

const fetched = (id: number, request: number, client = vms) => client.get(`/${id}/logs?request_id=${request}`);

const answered = (id: number, request: number): Promise<Json> =>
  eventually(async () => {
    const { body } = await fetched(id, request);
    expect(body.status).toBe(true);
    return body;
  });

/** The node that has the VM, and another one; with what their workers send. */
async function nodesOf(id: number) {
  const rows = await cloud.database.query<{ id: number; name: string; session: number; has: boolean }[]>(
    `SELECT n.id, n.name, n.session, i.id IS NOT NULL AS has FROM compute_node n
       LEFT JOIN incarnation i ON i.compute_node_id = n.id AND i.virtual_machine_id = $1 AND i.ended_at IS NULL`,
    [id],
  );
  return { own: rows.find((row) => row.has)!, stranger: rows.find((row) => !row.has)! };
}

describe('the console of a VM', () => {
  it('is told as its node has it', async () => {
    const body = await answered(vm.id, await requested(vm.id));
    expect(mismatches('GetInstanceLogsResponse', body)).toEqual([]);
    expect(body.logs).toContain(`address ${vm.fixed_ip}`);
    expect(body.logs).toContain('talker login:');
  });

  it('is cut to the last lines', async () => {
    const { logs } = await answered(vm.id, await requested(vm.id, { length: 1 }));
    expect(logs).toBe('talker login: \r\n');
  });

  it('is pending until the node answers, and comes when it can again', async () => {
    const { own } = await nodesOf(vm.id);
    const node = cloud.nodes.find(({ name }) => name === own.name)!;
    node.hypervisor.misbehaviours = { consoleLog: { kind: 'rejecting', times: 2 } };
    const request = await requested(vm.id);
    const { status, body } = await fetched(vm.id, request);
    expect({ status, body }).toMatchObject({ status: 200, body: { status: false, logs: null } });
    expect(body.message).toContain('has not answered');
    expect((await answered(vm.id, request)).logs).toContain('talker login:');
    node.hypervisor.misbehaviours = {};
  });

  it('survives whatever the guest wrote', async () => {
    const { own } = await nodesOf(vm.id);
    const node = cloud.nodes.find(({ name }) => name === own.name)!;
    const real = node.hypervisor.consoleLog.bind(node.hypervisor);
    node.hypervisor.consoleLog = async () => Buffer.concat([Buffer.alloc(60_000, 0), Buffer.from([0xff, 0xfe]), Buffer.from('\u001b[1mfür\n')]);
    const { logs } = await answered(vm.id, await requested(vm.id));
    node.hypervisor.consoleLog = real;
    expect(logs.endsWith('\ufffd\ufffd\u001b[1mfür\n')).toBe(true);
    expect(logs).not.toContain('\0');
  });
});

describe('a log request', () => {
  it.each([[{ length: 0 }], [{ length: 10_001 }], [{ length: '5' }], [{ lines: 5 }]])('is refused with %j', async (body) => {
    expect((await vms.send('POST', `/${vm.id}/logs`, body)).status).toBe(400);
  });

  it.each(['', '?request_id=', '?request_id=abc', '?request_id=99999999999'])('is not fetched with %j', async (query) => {
    expect((await vms.get(`/${vm.id}/logs${query}`)).status).toBe(400);
  });

  it('needs a VM that is ACTIVE', async () => {
    const still = await vms.active({ name: 'still' });
    await vms.get(`/${still.id}/stop`);
    await vms.reaches(still.id, 'SHUTOFF');
    const { status, body } = await vms.send('POST', `/${still.id}/logs`, {});
    expect(status).toBe(400);
    expect(body.message).toBe('still is SHUTOFF; its logs can be requested when it is ACTIVE.');
  });

  it('of another organization, or of another VM, is not found', async () => {
    const request = await requested(vm.id);
    const stranger = new VmClient(cloud, cloud.other);
    expect((await fetched(vm.id, request, stranger)).status).toBe(404);
    expect((await stranger.send('POST', `/${vm.id}/logs`, {})).status).toBe(404);
    const other = await vms.active({ name: 'other-one' });
    expect((await fetched(other.id, request)).status).toBe(404);
    expect((await fetched(vm.id, 999_999)).status).toBe(404);
  });

  it('is forgotten after ten minutes', async () => {
    const request = await requested(vm.id);
    await cloud.database.query(`UPDATE console_log_request SET requested_at = now() - interval '11 minutes' WHERE id = $1`, [request]);
    expect((await fetched(vm.id, request)).status).toBe(404);
  });

  it('makes room by displacing the oldest of its VM', async () => {
    const requests: number[] = [];
    for (let n = 0; n < 12; n++) requests.push(await requested(vm.id));
    expect((await fetched(vm.id, requests[0]!)).status).toBe(404);
    expect((await fetched(vm.id, requests[11]!)).status).toBe(200);
    const [{ count }] = await cloud.database.query<[{ count: number }]>(
      'SELECT count(*)::int AS count FROM console_log_request WHERE virtual_machine_id = $1',
      [vm.id],
    );
    expect(count).toBe(10);
  });
});

describe('a node', () => {
  const headersOf = async (name: string): Promise<Headers> => {
    const node = cloud.nodes.find((candidate) => candidate.name === name)!;
    return { authorization: `Bearer ${await new NodeKeyFile(node.stateFolder).read()}` };
  };

  it('answers only for VMs of its own, and once', async () => {
    const { own, stranger } = await nodesOf(vm.id);
    const node = cloud.nodes.find(({ name }) => name === own.name)!;
    node.hypervisor.misbehaviours = { consoleLog: { kind: 'failing' } };
    const request = await requested(vm.id);
    const say = async ({ name, session }: { name: string; session: number }, text: string) =>
      cloud.request('POST', `/compute/console-logs/${request}`, { session, text }, await headersOf(name));

    expect((await say(stranger, 'forged\n')).status).toBe(200);
    expect((await fetched(vm.id, request)).body.status).toBe(false);
    expect((await say({ ...own, session: own.session - 1 }, 'outdated\n')).status).toBe(409);
    expect((await say(own, 'first\n')).status).toBe(200);
    expect((await say(own, 'second\n')).status).toBe(200);
    expect((await fetched(vm.id, request)).body.logs).toBe('first\n');
    node.hypervisor.misbehaviours = {};
  });

  it('needs its key, and may not send without end', async () => {
    const { own } = await nodesOf(vm.id);
    const request = await requested(vm.id);
    const path = `/compute/console-logs/${request}`;
    expect((await cloud.request('POST', path, { session: own.session, text: '' })).status).toBe(401);
    const body = { session: own.session, text: 'x'.repeat(200_000) };
    expect((await cloud.request('POST', path, body, await headersOf(own.name))).status).toBe(400);
  });
});
