/** What is changed on a node behind the back of Baton (P8): put right, or shown, whatever it is. */
import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, it } from '@jest/globals';
import type { Tampering } from '../src/compute/hypervisor/simulated/simulated-hypervisor.js';
import { exampleTask } from '../src/messaging/task-bus.contract.js';
import type { VmSpec } from '../src/protocol/task.js';
import { fsck } from '../src/conductor/admin/fsck.js';
import { listDrift, type ListedDrift } from '../src/conductor/drift/drift-list.js';
import type { DomainIdentity } from '../src/compute/hypervisor/hypervisor.js';
import { startCloud, type Cloud, type CloudOptions, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { VmClient } from './support/vm-client.js';

const OPERATOR_KEY = 'operator-key-of-the-test-fleet';
const PATIENCE_MS = 25_000;

let cloud: Cloud;
let vms: VmClient;

async function start(options: CloudOptions = {}): Promise<void> {
  cloud = await startCloud({ ...options, settings: { BATON_OPERATOR_KEY: OPERATOR_KEY, ...options.settings } });
  vms = new VmClient(cloud);
}

afterEach(async () => {
  await eventually(async () => expect(await fsck(cloud.database)).toEqual([])).finally(() => cloud.stop());
});

const hypervisor = () => cloud.nodes[0]!.hypervisor;

async function domainOf(vm: Json): Promise<DomainIdentity> {
  const [row] = await cloud.database.query('SELECT id FROM incarnation WHERE virtual_machine_id = $1 AND ended_at IS NULL', [vm.id]);
  return { vmUuid: vm.uuid, incarnationId: row.id };
}

const tamper = async (vm: Json, change: Tampering): Promise<void> => hypervisor().tamper(await domainOf(vm), change);

const stateOf = async (vm: Json): Promise<Json> => {
  const items = await hypervisor().inventory();
  return items.find(({ vmUuid }) => vmUuid === vm.uuid);
};

const all = (): Promise<ListedDrift[]> => listDrift(cloud.database, { all: true });

const untilOver = (kind: string, outcome: string): Promise<void> =>
  eventually(async () => expect(await all()).toMatchObject([{ kind, outcome, endedAt: expect.any(Date) }]), PATIENCE_MS);

const events = async (id: number): Promise<string[]> =>
  (await vms.get(`/${id}/events`)).body.instance_events
    .filter(({ reason }: { reason: string }) => reason === 'InstanceDrift')
    .map(({ message }: { message: string }) => message);

describe('a VM that somebody', () => {
  it.each<[string, Tampering, string, string]>([
    ['has destroyed is started again', { state: 'stopped' }, 'killed', 'started again'],
    ['has paused goes on', { paused: true }, 'paused', 'goes on'],
    ['has undefined is made anew on the disk that it had', { state: 'stopped', undefined: true }, 'missing-domain', 'made anew on the disk'],
  ])('%s, and its owner learns of it', async (_, change, kind, words) => {
    await start({ conductors: 2 });
    const vm = await vms.active({ name: 'worker' });
    await tamper(vm, change);
    await untilOver(kind, 'healed');
    expect(await stateOf(vm)).toEqual({ ...(await domainOf(vm)), state: 'running' });
    expect(await vms.reaches(vm.id, 'ACTIVE')).toMatchObject({ fixed_ip: vm.fixed_ip });
    expect(await events(vm.id)).toEqual([expect.stringContaining(words)]);
  });

  it('has started although it shall be off is stopped again', async () => {
    await start();
    const vm = await vms.active({ name: 'off' });
    await vms.get(`/${vm.id}/stop`);
    await vms.reaches(vm.id, 'SHUTOFF');
    await tamper(vm, { state: 'running' });
    await untilOver('started', 'healed');
    expect(await stateOf(vm)).toMatchObject({ state: 'stopped' });
    await vms.reaches(vm.id, 'SHUTOFF');
  });

  it('has taken the disk from is in ERROR and says why, and no empty disk takes its place', async () => {
    await start();
    const vm = await vms.active({ name: 'empty' });
    await tamper(vm, { state: 'stopped', diskMissing: true });
    await untilOver('missing-disk', 'failed');
    expect(await vms.reaches(vm.id, 'ERROR')).toMatchObject({ fault: expect.stringContaining('disk of the virtual machine is missing') });
    // Its owner tries again: it is refused for the same reason.
    await vms.get(`/${vm.id}/hard-reboot`);
    await eventually(async () => expect((await vms.get(`/${vm.id}`)).body.instance.status).toBe('ERROR'));
    expect(await stateOf(vm)).toMatchObject({ state: 'stopped' });
  });

  it('has taken domain and disk from is in ERROR', async () => {
    await start();
    const vm = await vms.active({ name: 'nothing' });
    await hypervisor().remove(await domainOf(vm));
    await untilOver('missing-domain', 'failed');
    expect((await vms.reaches(vm.id, 'ERROR')).fault).toContain('not replaced by an empty one');
    expect(await stateOf(vm)).toBeUndefined();
  });

  it('has taken the file of the disk from while it runs is left running, and its owner is told', async () => {
    await start();
    const vm = await vms.active({ name: 'unlinked' });
    await tamper(vm, { diskMissing: true });
    await eventually(async () => expect(await all()).toMatchObject([{ kind: 'unlinked-disk', action: 'report', outcome: 'shown' }]), PATIENCE_MS);
    expect(await stateOf(vm)).toMatchObject({ state: 'running' });
    expect(await events(vm.id)).toEqual([expect.stringContaining('copy what it holds')]);
    expect((await vms.get(`/${vm.id}`)).body.instance.status).toBe('ACTIVE');
  });

  it('destroys again and again is shown as off in the end', async () => {
    await start();
    const vm = await vms.active({ name: 'flapping' });
    await cloud.database.query(
      `INSERT INTO drift (compute_node_id, domain_uuid, domain_name, kind, virtual_machine_id, action, outcome, attempts, ended_at)
       SELECT n.id, $1, 'flapping', 'killed', $2, 'restart', 'healed', 3, now() FROM compute_node n`,
      [vm.uuid, vm.id],
    );
    await tamper(vm, { state: 'stopped' });
    await untilOver('killed', 'given up');
    expect(await vms.reaches(vm.id, 'SHUTOFF')).toBeDefined();
    expect(await events(vm.id)).toEqual([expect.stringContaining('not tried again')]);
  });
});

describe('a guest that switched itself off', () => {
  it('is no drift', async () => {
    await start();
    const vm = await vms.active({ name: 'done' });
    await hypervisor().guestPowersOff(await domainOf(vm));
    await vms.reaches(vm.id, 'SHUTOFF');
    await tamper(vm, { shutDown: undefined });
    const other = await vms.active({ name: 'marker' });
    await tamper(other, { paused: true });
    await untilOver('paused', 'healed');
    expect(await vms.reaches(vm.id, 'SHUTOFF')).toBeDefined();
  });

  it('while nobody listened is shown as off', async () => {
    await start();
    const vm = await vms.active({ name: 'quiet' });
    await tamper(vm, { state: 'stopped', shutDown: true });
    await vms.reaches(vm.id, 'SHUTOFF');
    expect(await stateOf(vm)).toMatchObject({ state: 'stopped' });
  });
});

/** Of a domain that no task asked for. */
const specOf = (name: string): VmSpec => ({ ...exampleTask().spec, name });

describe('a domain', () => {
  it('of somebody else is shown to operators and never touched', async () => {
    await start();
    const foreign = [{ uuid: randomUUID(), name: 'somebody-else' }];
    hypervisor().foreign = foreign;
    const list = () => cloud.request('GET', '/admin/drift', undefined, { authorization: `Bearer ${OPERATOR_KEY}` });
    await eventually(async () => {
      expect((await list()).body.drift).toMatchObject([{ node: 'node-1', domain: 'somebody-else', kind: 'foreign-domain', outcome: 'shown' }]);
    }, PATIENCE_MS);
    expect(await hypervisor().foreignDomains()).toEqual(foreign);
    expect(await cloud.database.query('SELECT * FROM task')).toEqual([]);
    hypervisor().foreign = [];
    await untilOver('foreign-domain', 'gone');
    expect((await list()).body.drift).toEqual([]);
  });

  it('is shown to nobody without the operator key', async () => {
    await start();
    expect((await cloud.request('GET', '/admin/drift')).status).toBe(401);
    expect((await cloud.request('GET', '/admin/drift', undefined, {})).status).toBe(401);
  });

  it('of a VM that is gone is removed', async () => {
    await start();
    const vm = await vms.active({ name: 'ghost' });
    const identity = await domainOf(vm);
    await vms.delete(`/${vm.id}`);
    await vms.gone(vm.id);
    await hypervisor().define(identity, specOf('ghost'), 'token');
    await untilOver('ended-incarnation', 'healed');
    expect(await hypervisor().inventory()).toEqual([]);
  });

  it('of ours that the database does not know is shown and left', async () => {
    await start();
    const identity: DomainIdentity = { vmUuid: randomUUID() as never, incarnationId: 4711 as never };
    await hypervisor().define(identity, specOf('older'), 'token');
    await eventually(async () => expect(await all()).toMatchObject([{ kind: 'unknown-incarnation', outcome: 'shown' }]), PATIENCE_MS);
    expect(await hypervisor().inventory()).toHaveLength(1);
    await hypervisor().remove(identity);
  });
});

describe('a task under way', () => {
  it('explains what there is: nothing is drift', async () => {
    await start({ bootMs: 4_000 });
    const { body } = await vms.post({ name: 'slow' });
    await eventually(async () => expect(await stateOf(body.instances[0])).toMatchObject({ state: 'stopped' }));
    await eventually(async () => expect((await vms.get(`/${body.instances[0].id}`)).body.instance.status).toBe('ACTIVE'), 20_000);
    expect(await all()).toEqual([]);
  });
});

describe('with BATON_DRIFT=show', () => {
  it('nothing is put right', async () => {
    await start({ settings: { BATON_DRIFT: 'show' } });
    const vm = await vms.active({ name: 'left' });
    await tamper(vm, { paused: true });
    await eventually(async () => expect(await all()).toMatchObject([{ kind: 'paused', outcome: 'shown' }]), PATIENCE_MS);
    expect(await stateOf(vm)).toMatchObject({ paused: true });
  });
});
