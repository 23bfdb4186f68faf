/** Security rules of single VMs: in the API, in the database and on the compute node. Floating IPs that come and go. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import type { SimulatedDomain } from '../src/compute/hypervisor/simulated/journal.js';
import { startCloud, type Cloud, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { mismatches } from './support/infrahub-model.js';
import { VmClient } from './support/vm-client.js';

const HTTP = { direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', remote_ip_prefix: '0.0.0.0/0', port_range_min: 80, port_range_max: 80 };
const ADDRESS = '198.51.100.10';

let cloud: Cloud;
let vms: VmClient;
let strangers: VmClient;

beforeAll(async () => {
  cloud = await startCloud({ floatingIps: [ADDRESS] });
  vms = new VmClient(cloud);
  strangers = new VmClient(cloud, cloud.other);
});

afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
});

const shown = async (id: number): Promise<Json> => (await vms.get(`/${id}`)).body.instance;

async function domainOf(id: number): Promise<SimulatedDomain> {
  const [identity] = await cloud.database.query(
    `SELECT vm.uuid AS "vmUuid", i.id AS "incarnationId" FROM virtual_machine vm
       JOIN incarnation i ON i.virtual_machine_id = vm.id AND i.ended_at IS NULL WHERE vm.id = $1`,
    [id],
  );
  return cloud.nodes[0]!.hypervisor.domain(identity)!;
}

const openPorts = async (id: number): Promise<unknown[]> =>
  (await domainOf(id)).hardware!.rules!.filter((rule) => rule.direction === 'ingress').map((rule) => rule.portMin);

const confirmed = (id: number, rules: number): Promise<Json> =>
  eventually(async () => {
    const vm = await shown(id);
    expect(vm.security_rules.map((rule: Json) => rule.status)).toEqual(Array<string>(rules).fill('SUCCESS'));
    return vm;
  });

describe('a VM', () => {
  it('lets everything out and nothing in, from the beginning', async () => {
    const { id } = await vms.active({ name: 'plain' });
    const { security_rules: rules } = await confirmed(id, 2);
    for (const rule of rules) expect(mismatches('SecurityRulesFieldsForInstance', rule)).toEqual([]);
    expect(rules).toMatchObject([
      { direction: 'egress', ethertype: 'IPv4', protocol: 'any', remote_ip_prefix: '0.0.0.0/0', port_range_min: 1, port_range_max: 65_535 },
      { direction: 'egress', ethertype: 'IPv6', protocol: 'any', remote_ip_prefix: '::/0', port_range_min: 1, port_range_max: 65_535 },
    ]);
    expect(await openPorts(id)).toEqual([]);
  });

  it('can be created with rules, each of which counts once', async () => {
    const ssh = { ...HTTP, protocol: 'TCP', port_range_min: 22, port_range_max: 22 };
    const { id } = await vms.active({ name: 'open', count: 1, security_rules: [HTTP, ssh, HTTP] });
    const { security_rules: rules } = await confirmed(id, 4);
    expect(rules.slice(2)).toMatchObject([HTTP, { ...ssh, protocol: 'tcp' }]);
    expect(await openPorts(id)).toEqual([80, 22]);
  });

  it('gets and loses a rule while it runs, and stays ACTIVE', async () => {
    const { id } = await vms.active({ name: 'live' });
    const { status, body } = await vms.send('POST', `/${id}/sg-rules`, HTTP);
    expect({ status, mismatches: mismatches('SecurityGroupRule', body) }).toEqual({ status: 200, mismatches: [] });
    expect(body.security_rule).toMatchObject({ ...HTTP, status: 'pending' });
    expect((await shown(id)).status).toBe('ACTIVE');
    await confirmed(id, 3);
    expect(await openPorts(id)).toEqual([80]);

    expect((await vms.send('POST', `/${id}/sg-rules`, HTTP)).status).toBe(409);
    const removed = await vms.delete(`/${id}/sg-rules/${body.security_rule.id}`);
    expect({ status: removed.status, mismatches: mismatches('ResponseModel', removed.body) }).toEqual({ status: 200, mismatches: [] });
    await eventually(async () => expect(await openPorts(id)).toEqual([]));
    expect((await vms.delete(`/${id}/sg-rules/${body.security_rule.id}`)).status).toBe(404);
    expect((await shown(id)).status).toBe('ACTIVE');
  });

  it('is not started by a rule once it is off, and has the rule all the same', async () => {
    const { id } = await vms.active({ name: 'sleeper' });
    await cloud.nodes[0]!.hypervisor.guestPowersOff(await domainOf(id));
    await vms.reaches(id, 'SHUTOFF');
    expect((await vms.send('POST', `/${id}/sg-rules`, HTTP)).status).toBe(200);
    await confirmed(id, 3);
    expect((await shown(id)).status).toBe('SHUTOFF');
    expect(await domainOf(id)).toMatchObject({ state: 'stopped' });
    expect(await openPorts(id)).toEqual([80]);
  });

  it('has every rule that many ask for at the same moment', async () => {
    const { id } = await vms.active({ name: 'busy' });
    const ports = Array.from({ length: 10 }, (_, index) => 8000 + index);
    const answers = await Promise.all(
      ports.map((port) => vms.send('POST', `/${id}/sg-rules`, { ...HTTP, port_range_min: port, port_range_max: port })),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    await confirmed(id, 12);
    expect(((await openPorts(id)) as number[]).sort()).toEqual(ports);
  });

  it('keeps a rule pending while its node cannot apply it, and says why it failed', async () => {
    const { id } = await vms.active({ name: 'unlucky' });
    const { hypervisor } = cloud.nodes[0]!;
    hypervisor.misbehaviours = { define: { kind: 'failing' } };
    await vms.send('POST', `/${id}/sg-rules`, HTTP);
    await eventually(async () => expect(await shown(id)).toMatchObject({ status: 'ERROR', fault: expect.stringMatching(/told to fail/) }));
    expect((await shown(id)).security_rules[2].status).toBe('pending');
    hypervisor.misbehaviours = {};
    await vms.send('POST', `/${id}/sg-rules`, { ...HTTP, port_range_max: 81 });
    await confirmed(id, 4);
    expect((await shown(id)).status).toBe('ACTIVE');
  });

  it.each([
    ['an unknown protocol', { protocol: 'http' }, /protocol must be one of the protocols/],
    ['no direction', { direction: undefined }, /direction is required/],
    ['an unknown ethertype', { ethertype: 'IPv5' }, /ethertype/],
    ['a network of the other kind', { remote_ip_prefix: '::/0' }, /remote_ip_prefix must be an IPv4 network/],
    ['a port too high', { port_range_max: 65_536 }, /port_range_max/],
    ['port 0', { port_range_min: 0 }, /port_range_min/],
    ['ports the wrong way round', { port_range_min: 81 }, /Exchange them/],
    ['ports of a protocol without ports', { protocol: 'icmp' }, /has no ports/],
    ['an unknown field', { colour: 'red' }, /colour is not a known field/],
  ])('is refused %s, on its own and at creation', async (_, change, reason) => {
    const [{ id }] = (await vms.get('')).body.instances;
    const rule = { ...HTTP, ...change };
    for (const { status, body } of [await vms.send('POST', `/${id}/sg-rules`, rule), await vms.post({ security_rules: [rule] })])
      expect({ status, message: body.message }).toEqual({ status: 400, message: expect.stringMatching(reason) });
  });

  it('is nobody else’s to open', async () => {
    const { id, security_rules: rules } = await vms.active({ name: 'private' });
    const missing = await strangers.send('POST', '/999999/sg-rules', HTTP);
    expect(missing.status).toBe(404);
    expect((await strangers.send('POST', `/${id}/sg-rules`, HTTP)).body).toEqual(missing.body);
    expect((await strangers.delete(`/${id}/sg-rules/${rules[0].id}`)).body).toEqual(missing.body);
    const [mine] = (await vms.get('')).body.instances;
    expect((await vms.delete(`/${mine.id}/sg-rules/${rules[0].id}`)).status).toBe(404);
    expect((await shown(id)).security_rules).toHaveLength(2);
  });
});

it('lists the protocols', async () => {
  const { body } = await cloud.request('GET', '/v1/core/sg-rules-protocols');
  expect(mismatches('SecurityRulesProtocolFields', body)).toEqual([]);
  expect(body.protocols).toEqual(expect.arrayContaining(['any', 'tcp', 'udp', 'icmp', 'ipv6-icmp', 'vrrp']));
});

describe('a floating IP', () => {
  const change = (id: number, verb: 'attach' | 'detach', client = vms) => client.send('POST', `/${id}/${verb}-floatingip`);
  const reaches = (id: number, status: string) =>
    eventually(async () => expect((await shown(id)).floating_ip_status).toBe(status));

  it('is attached to a running VM, moves to another one, and is never on two', async () => {
    const first = await vms.active({ name: 'first' });
    const second = await vms.active({ name: 'second' });
    const { status, body } = await change(first.id, 'attach');
    expect({ status, mismatches: mismatches('ResponseModel', body) }).toEqual({ status: 200, mismatches: [] });
    await reaches(first.id, 'ATTACHED');
    expect(await shown(first.id)).toMatchObject({ status: 'ACTIVE', floating_ip: ADDRESS });
    expect((await domainOf(first.id)).hardware).toMatchObject({ floatingIp: ADDRESS });
    expect((await change(first.id, 'attach')).status).toBe(400);
    const full = await change(second.id, 'attach');
    expect({ status: full.status, message: full.body.message }).toEqual({ status: 409, message: expect.stringMatching(/no floating IP free/) });

    const { hypervisor } = cloud.nodes[0]!;
    hypervisor.misbehaviours = { define: { kind: 'slow', ms: 1_000 } };
    expect((await change(first.id, 'detach')).status).toBe(200);
    expect(await shown(first.id)).toMatchObject({ floating_ip: ADDRESS, floating_ip_status: 'DETACHING' });
    expect((await change(first.id, 'detach')).status).toBe(400);
    expect((await change(second.id, 'attach')).status).toBe(409);
    await reaches(first.id, 'NO FLOATING IP');
    hypervisor.misbehaviours = {};
    expect((await change(second.id, 'attach')).status).toBe(200);
    await reaches(second.id, 'ATTACHED');
    expect((await domainOf(first.id)).hardware!.floatingIp).toBeUndefined();
    await vms.delete(`/${second.id}`);
    await vms.gone(second.id);
  });

  it('is given back by a VM that is off, also on its node', async () => {
    const { id } = await vms.active({ name: 'resting', assign_floating_ip: true });
    await vms.get(`/${id}/stop`);
    await vms.reaches(id, 'SHUTOFF');
    expect((await change(id, 'detach')).status).toBe(200);
    await reaches(id, 'NO FLOATING IP');
    expect(await domainOf(id)).toMatchObject({ state: 'stopped' });
    expect((await domainOf(id)).hardware!.floatingIp).toBeUndefined();
    expect(await shown(id)).toMatchObject({ status: 'SHUTOFF', floating_ip: null });
  });

  it('needs a VM of the organization that has come to rest', async () => {
    const missing = await strangers.send('POST', '/999999/attach-floatingip');
    const { id } = await vms.active({ name: 'guarded' });
    for (const verb of ['attach', 'detach'] as const) expect((await change(id, verb, strangers)).body).toEqual(missing.body);
    expect((await change(id, 'detach')).body.message).toMatch(/has no floating IP/);
    cloud.nodes[0]!.hypervisor.misbehaviours = { stop: { kind: 'slow', ms: 1_000 } };
    await vms.get(`/${id}/stop`);
    expect((await change(id, 'attach')).body).toMatchObject({ error_reason: 'bad_request', message: expect.stringMatching(/STOPPING/) });
    await vms.reaches(id, 'SHUTOFF');
    cloud.nodes[0]!.hypervisor.misbehaviours = {};
  });
});
