import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { compileManifest, type CompiledManifest } from './compile.js';
import { manifestJsonSchema } from './schema.js';

const compile = (files: Record<string, string | Buffer>): Promise<CompiledManifest> =>
  compileManifest(new Map(Object.entries(files).map(([file, text]) => [file, Buffer.from(text)])));

const vm = (metadata = '{ name: web, environment: demo }', spec = ''): string => `
apiVersion: baton/v1
kind: VirtualMachine
metadata: ${metadata}
spec:
  flavor: tiny-1
  image: tiny
  keypairs: [demo]
${spec}`;

const names = ({ resources }: CompiledManifest): string[] => resources.map(({ name }) => name);

describe('a manifest', () => {
  it('declares a machine with every default filled in', async () => {
    const { resources, problems } = await compile({ 'vms/web.yaml': vm() });
    expect(problems).toEqual([]);
    expect(resources).toEqual([
      {
        kind: 'VirtualMachine',
        environment: 'demo',
        name: 'web',
        protect: false,
        source: { file: 'vms/web.yaml', line: 2 },
        userData: null,
        group: null,
        spec: {
          flavor: 'tiny-1',
          image: 'tiny',
          boot_volume: null,
          create_bootable_volume: false,
          keypairs: ['demo'],
          security_rules: null,
          user_data: null,
          labels: [],
          firewalls: [],
          volumes: [],
          callback_url: null,
          floating_ip: false,
          power: 'unmanaged',
        },
      },
    ]);
  });

  it('may have several documents in a file, empty ones too, and files that are no YAML', async () => {
    const two = `---\n${vm()}\n---\n---\n${vm('{ name: db, environment: demo }')}\n...\n`;
    expect(names(await compile({ 'all.yml': two, 'README.md': '# not: [yaml' }))).toEqual(['web', 'db']);
  });

  it('makes groups whose names stay when they grow', async () => {
    expect(names(await compile({ 'a.yaml': vm(undefined, '  count: 1') }))).toEqual(['web-1']);
    expect(names(await compile({ 'a.yaml': vm(undefined, '  count: 3') }))).toEqual(['web-1', 'web-2', 'web-3']);
    expect(names(await compile({ 'a.yaml': vm("{ name: 'n{{ index }}-web', environment: demo }", '  count: 2') }))).toEqual(['n1-web', 'n2-web']);
    expect(names(await compile({ 'a.yaml': vm(undefined, '  count: 0') }))).toEqual([]);
  });

  it('fills placeholders into labels, volumes and user data, and leaves foreign braces there alone', async () => {
    const metadata = "{ name: web, environment: demo, labels: ['member-{{ index }}-of-{{ count }}'] }";
    const spec = "  count: 2\n  volumes: ['data-{{index}}']\n  user_data: |\n    #cloud-config\n    # {{ name }} in {{ environment }}, {{ v1.region }}, ${index}";
    const { resources, problems } = await compile({ 'a.yaml': vm(metadata, spec) });
    expect(problems).toEqual([]);
    expect(resources[1]).toMatchObject({
      userData: '#cloud-config\n# web-2 in demo, {{ v1.region }}, ${index}\n',
      spec: { labels: ['member-2-of-2'], volumes: ['data-2'] },
    });
  });

  it('may have a size made to measure, and boot from a volume that is made of an image', async () => {
    const measured = vm().replace('flavor: tiny-1', 'flavor: { cpu: 3, ram: 1.5, disk: 7, gpu: L40, gpu_count: 1 }');
    const volume = 'apiVersion: baton/v1\nkind: Volume\nmetadata: { name: root, environment: demo }\nspec: { size: 2, image: tiny, count: 2 }';
    const booting = vm('{ name: db, environment: demo }', "  count: 2\n  boot_volume: 'root-{{ index }}'").replace('  image: tiny\n', '');
    const { resources, problems } = await compile({ 'a.yaml': [measured, volume, booting].join('\n---\n') });
    expect(problems).toEqual([]);
    expect(resources[0]).toMatchObject({ spec: { flavor: { cpu: 3, ram_mib: 1_536, disk: 7, gpu: 'L40', gpu_count: 1 }, image: 'tiny' } });
    expect(resources[2]).toMatchObject({ name: 'root-2', spec: { size: 2, image: 'tiny' } });
    expect(resources[4]).toMatchObject({ name: 'db-2', spec: { image: null, boot_volume: 'root-2', create_bootable_volume: false } });
  });

  it('can be kept as a profile: as a request for such a machine', async () => {
    const kept = vm('{ name: web, environment: demo, labels: [b, a] }', '  create_bootable_volume: true\n  profile: { name: webs, description: As they are made }\n  count: 2');
    const { resources, problems } = await compile({ 'a.yaml': kept });
    expect(problems).toEqual([]);
    expect(names({ resources, problems })).toEqual(['webs', 'web-1', 'web-2']);
    expect(resources[0]).toMatchObject({
      kind: 'Profile',
      environment: '',
      spec: {
        description: 'As they are made',
        data: {
          environment_name: 'demo', flavor_name: 'tiny-1', image_name: 'tiny', create_bootable_volume: 'true', key_names: '["demo"]', labels: '["b","a"]', assign_floating_ip: 'false',
        },
      },
    });
  });

  it('says how many of a group may be out of service: one, unless it says otherwise', async () => {
    const groupOf = async (spec: string) => (await compile({ 'a.yaml': vm(undefined, spec) })).resources.at(-1);
    expect(await groupOf('  count: 2')).toMatchObject({ group: { name: 'web', index: 2, maxUnavailable: 1 } });
    expect(await groupOf('  count: 2\n  rollout: { max_unavailable: 5 }')).toMatchObject({ group: { maxUnavailable: 5 } });
  });

  it('takes user data from a file beside it', async () => {
    const files = { 'vms/web.yaml': vm(undefined, '  user_data_file: ../init/web.sh'), 'init/web.sh': '#!/bin/sh\n' };
    expect((await compile(files)).resources[0]).toMatchObject({ userData: '#!/bin/sh\n' });
  });

  it('declares the same whatever the order of its documents', async () => {
    const documents = [vm(), vm(), vm('{ name: db, environment: demo }'), vm(undefined, '  count: 2'), 'kind: Unheard', 'a: [', vm('{ name: web-2, environment: demo }')];
    const compiled = async (order: string[]) => {
      const { resources, problems } = await compile(Object.fromEntries(order.map((text, at) => [`${at}.yaml`, text])));
      return { names: resources.map(({ name }) => name).sort(), problems: problems.map(({ field }) => field).sort() };
    };
    const expected = await compiled(documents);
    expect(expected.names).toEqual(['db', 'web-1']);
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray(documents, { minLength: documents.length }), async (order) => expect(await compiled(order)).toEqual(expected)),
      { numRuns: 30 },
    );
  });
});

describe('what is wrong with a manifest', () => {
  it.each([
    ['a field that there is not', vm(undefined, '  flavour: big'), 9, 'spec.flavour', 'is not a known field'],
    ['a field of the wrong type', vm(undefined, '  floating_ip: maybe'), 9, 'spec.floating_ip', 'must be true or false'],
    ['a field that is missing', vm('{ name: web }'), 4, 'metadata.environment', 'is required'],
    ['another version', 'apiVersion: baton/v2\nkind: VirtualMachine', 1, 'apiVersion', 'must be baton/v1'],
    ['another kind', 'apiVersion: baton/v1\nkind: Cluster', 2, 'kind', 'must be one of'],
    ['no mapping', '- a', 1, '', 'must be a mapping'],
    ['no YAML', 'apiVersion: baton/v1\nkind: [VirtualMachine', 2, '', ''],
    ['one key twice', 'apiVersion: baton/v1\nkind: VirtualMachine\nkind: Volume', 3, '', 'unique'],
    ['a tag that reaches for more', 'apiVersion: !!js/function "x"', 1, 'apiVersion', 'must be baton/v1'],
    ['a name that no machine can have', vm('{ name: a b, environment: demo }'), 4, 'metadata.name', 'a name must have'],
    ['a placeholder that there is not', vm("{ name: web, environment: demo, labels: ['{{ zone }}'] }"), 4, 'metadata.labels', 'no placeholder'],
    ['a placeholder without a group', vm("{ name: 'web-{{ index }}', environment: demo }"), 4, 'metadata.name', 'count'],
    ['the same keypair twice', vm(undefined, '  firewalls: [a, a]'), 9, 'spec.firewalls', 'twice'],
    ['a size without its disk', vm().replace('flavor: tiny-1', 'flavor: { cpu: 1, ram: 1 }'), 6, 'spec.flavor.disk', 'is required'],
    ['a size with more than there is', vm().replace('flavor: tiny-1', 'flavor: { cpu: 1, ram: 1, disk: 1, cores: 2 }'), 6, 'spec.flavor.cores', 'is not a known field'],
    ['half a wish for GPUs', vm().replace('flavor: tiny-1', 'flavor: { cpu: 1, ram: 1, disk: 1, gpu: L40 }'), 6, 'spec.flavor', 'one of gpu and gpu_count'],
    ['neither a name nor a size', vm().replace('flavor: tiny-1', 'flavor: 3'), 6, 'spec.flavor', 'must be the name of a flavor, or a size'],
    ['no flavor', vm().replace('  flavor: tiny-1\n', ''), 5, 'spec.flavor', 'is required'],
    ['nothing to boot from', vm().replace('  image: tiny\n', ''), 5, 'spec.image', 'is required, unless boot_volume is given'],
    ['two things to boot from', vm(undefined, '  boot_volume: root'), 9, 'spec.boot_volume', 'beside image'],
    ['two volumes to boot from', vm(undefined, '  boot_volume: root\n  create_bootable_volume: true').replace('  image: tiny\n', ''), 9, 'spec.create_bootable_volume', 'boots from one volume'],
    ['the boot volume once more', vm(undefined, '  boot_volume: root\n  volumes: [root]').replace('  image: tiny\n', ''), 9, 'spec.volumes', 'boots from'],
    ['a profile with placeholders', vm(undefined, "  count: 2\n  volumes: []\n  user_data: '{{ index }}'\n  profile: { name: p }"), 12, 'spec.profile', 'placeholders'],
    ['a roll-out of one machine', vm(undefined, '  rollout: { max_unavailable: 2 }'), 9, 'spec.rollout', 'count'],
    ['a roll-out of nothing at a time', vm(undefined, '  count: 2\n  rollout: { max_unavailable: 0 }'), 10, 'spec.rollout.max_unavailable', 'at least 1'],
    ['user data outside the repository', vm(undefined, '  user_data_file: ../../etc/passwd'), 9, 'spec.user_data_file', 'there is no file'],
    ['user data by an absolute name', vm(undefined, '  user_data_file: /etc/passwd'), 9, 'spec.user_data_file', 'there is no file'],
    ['user data twice', vm(undefined, '  user_data: a\n  user_data_file: b'), 10, 'spec.user_data_file', 'beside user_data'],
    ['too much user data', vm(undefined, `  user_data: ${'x'.repeat(65_537)}`), 9, 'spec.user_data', '64 KiB'],
    [
      'a rule that contradicts itself',
      'apiVersion: baton/v1\nkind: Firewall\nmetadata: { name: f, environment: demo }\nspec:\n  rules:\n  - { direction: ingress, protocol: tcp, remote_ip_prefix: "::/0" }',
      6,
      'spec.rules[0]',
      'ethertype IPv4',
    ],
    ['a key that is none', 'apiVersion: baton/v1\nkind: Keypair\nmetadata: { name: k, environment: demo }\nspec: { public_key: ssh-rsa x }', 4, 'spec.public_key', ''],
  ])('is told with file, line and field: %s', async (_what, text, line, field, message) => {
    const { resources, problems } = await compile({ 'good.yaml': vm('{ name: good, environment: demo }'), 'bad.yaml': text });
    expect(problems[0]).toEqual({ file: 'bad.yaml', line, field, message: expect.stringContaining(message) });
    expect(resources.map(({ name }) => name)).toEqual(['good']);
  });

  it('keeps none of the other documents of the same file', async () => {
    const { resources, problems } = await compile({ 'all.yaml': `${vm()}\n---\nkind: Nonsense\n---${vm('{ name: db, environment: demo }')}` });
    expect(resources.map(({ name }) => name)).toEqual(['web', 'db']);
    expect(problems).toHaveLength(1);
  });

  it('is a resource that is declared twice: then neither counts', async () => {
    const { resources, problems } = await compile({ 'a.yaml': vm(), 'b.yaml': vm() });
    expect(resources).toEqual([]);
    expect(problems.map(({ file, message }) => [file, message])).toEqual([
      ['a.yaml', 'VirtualMachine demo/web is declared more than once, also in b.yaml:2'],
      ['b.yaml', 'VirtualMachine demo/web is declared more than once, also in a.yaml:2'],
    ]);
  });

  it('is a bomb of aliases, refused before it grows', async () => {
    const levels = Array.from({ length: 9 }, (_, at) => `b${at}: &b${at} [${Array(9).fill(at === 0 ? 'lol' : `*b${at - 1}`).join(', ')}]`);
    const { problems } = await compile({ 'bomb.yaml': levels.join('\n') });
    expect(problems).toEqual([{ file: 'bomb.yaml', line: 1, field: '', message: 'has more aliases than are allowed' }]);
  });

  it('is bytes that are no text, and more resources than one manifest may have', async () => {
    const group = vm(undefined, '  count: 1000');
    const many = Object.fromEntries(Array.from({ length: 6 }, (_, at) => [`${at}.yaml`, group.replace('name: web', `name: w${at}`)]));
    const { resources, problems } = await compile({ 'binary.yaml': Buffer.from([0xff, 0xfe, 0x00]), ...many });
    expect(resources).toHaveLength(5000);
    expect(problems.map(({ message }) => message)).toEqual([expect.stringContaining('more than 5000 resources'), 'is not UTF-8 text']);
  });

  it('never makes the reader fail, whatever is in the file', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string(), fc.json(), fc.string().map((text) => vm(text, text))), async (text) => {
        await compile({ 'a.yaml': text });
      }),
    );
  });
});

describe('the schema that editors use', () => {
  it('has every kind, and nothing that a manifest could not say', () => {
    const schema = manifestJsonSchema() as { oneOf: { properties: { kind: { const: string } }; additionalProperties: boolean; required: string[] }[] };
    expect(schema.oneOf.map(({ properties }) => properties.kind.const)).toEqual(['Environment', 'Keypair', 'Firewall', 'Volume', 'Profile', 'VirtualMachine']);
    expect(schema.oneOf.every(({ additionalProperties }) => additionalProperties === false)).toBe(true);
    expect(schema.oneOf[0]!.required).toEqual(['apiVersion', 'kind', 'metadata', 'spec']);
  });
});
