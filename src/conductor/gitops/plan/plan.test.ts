import { describe, expect, it } from '@jest/globals';
import { keyOf, type DeclaredResource, type ResourceKey } from '../manifest/resource.js';
import { plan, type Action, type ActualResource, type PruningPolicy } from './plan.js';
import { actual, declared } from './resources.fixture.js';

const PRUNING: PruningPolicy = { prune: true, limit: 10, spent: 0, complete: true };

const told = ({ actions }: { actions: readonly Action[] }): string[] =>
  actions.map(({ verb, identity, changes }) => [verb, identity.name, ...changes.map(({ field }) => field)].join(' '));

const web = declared('VirtualMachine', 'web');

const MEASURED = { cpu: 3, ram_mib: 1_536, disk: 7, gpu: '', gpu_count: 0 };

describe('a plan', () => {
  it('creates what is missing, what is used before what uses it', () => {
    const uses = declared('VirtualMachine', 'web', { firewalls: ['f'], volumes: ['v'] });
    const everything = [uses, declared('Volume', 'v'), declared('Firewall', 'f'), declared('Keypair', 'k0'), declared('Environment', 'e0')];
    const { actions } = plan(everything, [], PRUNING);
    expect(told({ actions })).toEqual(['create e0', 'create f', 'create k0', 'create v', 'create web']);
    expect(actions.at(-1)!.after).toEqual(['Environment//e0', 'Firewall/e0/f', 'Keypair/e0/k0', 'Volume/e0/v']);
  });

  it('deletes what uses before what is used', () => {
    const uses = declared('VirtualMachine', 'web', { firewalls: ['f'] });
    const { actions } = plan([], [declared('Environment', 'e0'), declared('Firewall', 'f'), uses].map((resource) => actual(resource)), PRUNING);
    expect(told({ actions })).toEqual(['delete web', 'delete f', 'delete e0']);
    expect(actions.map(({ after }) => after)).toEqual([[], ['VirtualMachine/e0/web'], ['Firewall/e0/f', 'VirtualMachine/e0/web']]);
  });

  it('leaves alone what is as it shall be', () => {
    expect(plan([web], [actual(web)], PRUNING)).toEqual({ actions: [], problems: [], unchanged: 1, settling: [], kept: [] });
  });

  it.each([
    ['labels', { labels: ['a'] }, 'update web labels'],
    ['another flavor, which is a resize', { flavor: 'tiny-2' }, 'update web flavor'],
    ['firewalls and volumes', { firewalls: ['f'], volumes: ['v'] }, 'update web firewalls volumes'],
    ['power, when it is told', { power: 'stopped' as const }, 'update web power'],
    ['another image', { image: 'huge', labels: ['a'] }, 'replace web labels image'],
    ['other keypairs', { keypairs: ['k1'] }, 'replace web keypairs'],
    ['other user data', { user_data: 'sha256:1' }, 'replace web user_data'],
    ['a size made to measure', { flavor: MEASURED }, 'update web flavor'],
    ['a volume to boot from', { image: null, boot_volume: 'v' }, 'replace web image boot_volume'],
    ['a root disk that outlives it', { create_bootable_volume: true }, 'replace web create_bootable_volume'],
  ])('gives a machine %s', (_what, change, told_) => {
    const running = actual(web, { spec: { ...web.spec, power: 'running' } as never });
    expect(told(plan([declared('VirtualMachine', 'web', change)], [running], PRUNING))).toEqual([told_]);
  });

  it('is a deletion and a creation for a rename, and nothing of it without pruning but the creation', () => {
    const renamed = declared('VirtualMachine', 'www');
    expect(told(plan([renamed], [actual(web)], PRUNING))).toEqual(['delete web', 'create www']);
    const unpruned = plan([renamed], [actual(web)], { ...PRUNING, prune: false });
    expect([told(unpruned), unpruned.kept]).toEqual([['create www'], [{ kind: 'VirtualMachine', environment: 'e0', name: 'web' }]]);
  });

  it('gives back the name that an environment lost by hand, before it makes anything in it', () => {
    const environment = declared('Environment', 'e0');
    const renamed = actual(environment, { current: { name: 'mine', environment: '' } });
    const { actions } = plan([environment, web], [renamed], PRUNING);
    expect(told({ actions })).toEqual(['update e0 name', 'create web']);
    expect(actions[1]!.after).toEqual(['Environment//e0']);
  });

  it('never touches what another made: it says so', () => {
    const { actions, problems } = plan([web], [{ kind: 'VirtualMachine', environment: 'e0', name: 'web', owned: false }], PRUNING);
    expect(actions).toEqual([]);
    expect(problems).toEqual([expect.objectContaining({ title: 'VirtualMachine e0/web', message: expect.stringContaining('was not made by this repository') })]);
  });

  it('keeps what is no longer declared as long as something declared uses it, and says so', () => {
    const { actions, problems } = plan([web], [actual(web), actual(declared('Environment', 'e0')), actual(declared('Keypair', 'k0'))], PRUNING);
    expect(actions).toEqual([]);
    expect(problems.map(({ title, message }) => `${title} ${message}`)).toEqual([
      expect.stringMatching(/^Environment e0 .* VirtualMachine e0\/web uses it/),
      expect.stringMatching(/^Keypair e0\/k0 .* VirtualMachine e0\/web uses it/),
    ]);
  });

  it('resizes a machine from a size made to measure, and leaves one of the same size alone', () => {
    const before = actual(declared('VirtualMachine', 'web', { flavor: MEASURED }));
    expect(told(plan([web], [before], PRUNING))).toEqual(['update web flavor']);
    expect(told(plan([declared('VirtualMachine', 'web', { flavor: { gpu_count: 0, gpu: '', disk: 7, ram_mib: 1_536, cpu: 3 } })], [before], PRUNING))).toEqual([]);
  });

  it('makes what boots from a volume after the volume has come to rest, and after who had it has let it go', () => {
    const booting = declared('VirtualMachine', 'web', { image: null, boot_volume: 'v' });
    const volume = declared('Volume', 'v', { image: 'tiny' });
    expect(plan([booting, volume], [], PRUNING).actions.map(({ key, after }) => [key, after])).toEqual([
      ['Volume/e0/v', []],
      ['VirtualMachine/e0/web', ['Volume/e0/v']],
    ]);
    expect(plan([booting, volume], [actual(volume, { readiness: 'busy' })], PRUNING).actions[0]!.after).toEqual(['Volume/e0/v']);
    const other = actual(declared('VirtualMachine', 'other', { image: null, boot_volume: 'v' }));
    const { actions } = plan([booting, volume], [actual(volume), other], PRUNING);
    expect([told({ actions }), actions[1]!.after]).toEqual([['delete other', 'create web'], ['VirtualMachine/e0/other']]);
  });

  it('does nothing for what names something that there is not: it says so, and where', () => {
    const impossible = new Map([[keyOf(web), { field: 'spec.image', message: 'names the image "huge", which the region default-1 does not have' }]]);
    const { actions, problems } = plan([declared('VirtualMachine', 'web', { image: 'huge' })], [actual(web)], PRUNING, impossible);
    expect([actions, problems]).toEqual([[], [expect.objectContaining({ title: 'VirtualMachine e0/web', field: 'spec.image' })]]);
    expect(plan([web], [actual(web)], PRUNING, impossible).problems).toEqual([]);
  });

  it('never loses a volume by a change', () => {
    const { actions, problems } = plan([declared('Volume', 'v', { type: 'Cloud-HDD' })], [actual(declared('Volume', 'v'))], PRUNING);
    expect([actions, problems.length]).toEqual([[], 1]);
  });

  it('neither deletes nor replaces what is protected', () => {
    const guarded = actual(declared('VirtualMachine', 'web', {}, true));
    expect(plan([], [guarded], PRUNING)).toMatchObject({ actions: [], problems: [{ message: expect.stringContaining('protected') }] });
    expect(plan([declared('VirtualMachine', 'web', { image: 'huge' })], [guarded], PRUNING)).toMatchObject({ actions: [], problems: [{ message: expect.stringContaining('protected') }] });
    expect(told(plan([declared('VirtualMachine', 'web', { labels: ['a'] })], [guarded], PRUNING))).toEqual(['update web labels']);
  });

  it('deletes nothing while a document cannot be read', () => {
    const { actions, kept } = plan([], [actual(web)], { ...PRUNING, complete: false });
    expect([actions, kept.length]).toEqual([[], 1]);
  });

  it('deletes and replaces all or none: no more than the limit of one commit', () => {
    const three = ['a', 'b', 'c'].map((name) => declared('VirtualMachine', name));
    const there = three.map((resource) => actual(resource));
    const replaced = declared('VirtualMachine', 'a', { image: 'huge' });
    expect(told(plan([replaced], there, { ...PRUNING, limit: 3 }))).toEqual(['delete b', 'delete c', 'replace a image']);
    const { actions, problems, kept } = plan([replaced, declared('VirtualMachine', 'new')], there, { ...PRUNING, limit: 2 });
    expect([told({ actions }), problems.length, kept.length]).toEqual([['create new'], 3, 2]);
    expect(told(plan([], there, { ...PRUNING, limit: 3, spent: 1 }))).toEqual([]);
  });

  it('does not count twice what is on its way out', () => {
    const leaving = actual(web, { readiness: 'deleting' });
    expect(told(plan([], [leaving], { ...PRUNING, limit: 1, spent: 1 }))).toEqual(['delete web']);
  });

  it('makes anew what somebody is deleting by hand, and tells what is in error', () => {
    expect(told(plan([web], [actual(web, { readiness: 'deleting' })], PRUNING))).toEqual(['replace web']);
    const { problems } = plan([web], [actual(web, { readiness: 'failed', fault: 'no disk' })], PRUNING);
    expect(problems[0]!.message).toContain('is in error: no disk');
    expect(told(plan([declared('VirtualMachine', 'web', { image: 'huge' })], [actual(web, { readiness: 'failed' })], PRUNING))).toEqual(['replace web image']);
  });

  it('deletes a firewall only after the machine that lets it go', () => {
    const before = actual(declared('VirtualMachine', 'web', { firewalls: ['f'] }));
    const { actions } = plan([web], [before, actual(declared('Firewall', 'f'))], PRUNING);
    expect(actions.map(({ key, after }) => [key, after])).toEqual([
      ['VirtualMachine/e0/web' as ResourceKey, []],
      ['Firewall/e0/f' as ResourceKey, ['VirtualMachine/e0/web']],
    ]);
  });
});

describe('a roll-out', () => {
  const member = (index: number, change: object = {}, maxUnavailable = 1): DeclaredResource =>
    ({ ...declared('VirtualMachine', `web-${index}`, change), group: { name: 'web', index, maxUnavailable } }) as DeclaredResource;
  const group = (change: object = {}, maxUnavailable = 1): DeclaredResource[] => [1, 2, 10].map((index) => member(index, change, maxUnavailable));
  const there = (change: (name: string) => Partial<ActualResource> = () => ({})): ActualResource[] => group().map((resource) => actual(resource, change(resource.name)));
  const begun = ({ actions }: { actions: readonly Action[] }): string[] => told({ actions: actions.filter(({ held }) => held === undefined) });
  const held = ({ actions }: { actions: readonly Action[] }): unknown[] =>
    actions.flatMap((action) => (action.held === undefined ? [] : [[action.identity.name, action.held.by.map(({ title }) => title), action.held.stoppedBy]]));

  it('replaces or resizes one of a group at a time, in the order of their numbers, and shows the others', () => {
    for (const change of [{ image: 'huge' }, { flavor: 'tiny-2' }]) {
      const planned = plan(group(change), there(), PRUNING);
      expect(planned.actions).toHaveLength(3);
      expect(begun(planned)).toEqual([expect.stringContaining('web-1 ')]);
      expect(held(planned).sort()).toEqual([['web-10', ['VirtualMachine e0/web-1'], undefined], ['web-2', ['VirtualMachine e0/web-1'], undefined]]);
    }
  });

  it('goes on as far as those that are out of service allow', () => {
    const two = plan(group({ image: 'huge' }, 2), there(), PRUNING);
    expect(begun(two)).toEqual(['replace web-1 image', 'replace web-2 image']);
    const whileOneIsMade = plan(group({ image: 'huge' }, 2), there().slice(1), PRUNING);
    expect(begun(whileOneIsMade)).toEqual(['replace web-2 image', 'create web-1']);
    const successor = actual(member(1, { image: 'huge' }), { readiness: 'busy' });
    expect(begun(plan(group({ image: 'huge' }), [successor, ...there().slice(1)], PRUNING))).toEqual([]);
    const arrived = actual(member(1, { image: 'huge' }));
    expect(begun(plan(group({ image: 'huge' }), [arrived, ...there().slice(1)], PRUNING))).toEqual(['replace web-2 image']);
  });

  it('stops where a successor is in error, and says so', () => {
    const failed = actual(member(1, { image: 'huge' }), { readiness: 'failed', fault: 'no boot' });
    const planned = plan(group({ image: 'huge' }), [failed, ...there().slice(1)], PRUNING);
    expect(begun(planned)).toEqual([]);
    expect(held(planned)[0]).toEqual([expect.any(String), ['VirtualMachine e0/web-1'], 'VirtualMachine e0/web-1']);
    const mended = plan(group({ image: 'tiny-3' }), [failed, ...there().slice(1)], PRUNING);
    expect([begun(mended), held(mended)[0]]).toEqual([['replace web-1 image'], [expect.any(String), ['VirtualMachine e0/web-1'], undefined]]);
  });

  it('counts as a whole for the limit of one commit', () => {
    expect(plan(group({ image: 'huge' }), there(), { ...PRUNING, limit: 2 })).toMatchObject({ actions: [], problems: { length: 3 } });
    expect(begun(plan(group({ image: 'huge' }), [actual(member(1, { image: 'huge' })), ...there().slice(1)], { ...PRUNING, limit: 3, spent: 1 }))).toEqual(['replace web-2 image']);
  });

  it('keeps neither labels nor single machines back', () => {
    expect(begun(plan(group({ labels: ['a'] }), there(), PRUNING))).toHaveLength(3);
    const single = ['a', 'b'].map((name) => declared('VirtualMachine', name, { image: 'huge' }));
    expect(begun(plan(single, ['a', 'b'].map((name) => actual(declared('VirtualMachine', name))), PRUNING))).toHaveLength(2);
  });
});
