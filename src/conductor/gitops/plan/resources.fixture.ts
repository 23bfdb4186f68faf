/** Resources in few lines, and arbitrary ones, for tests of the planner. */
import fc from 'fast-check';
import { KINDS, type DeclaredResource, type DeclaredVirtualMachine, type Kind, type MeasuredFlavor, type SpecOf } from '../manifest/resource.js';
import type { ActualResource, ForeignResource } from './plan.js';

const VM_SPEC: SpecOf['VirtualMachine'] = {
  flavor: 'tiny-1',
  image: 'tiny',
  boot_volume: null,
  create_bootable_volume: false,
  keypairs: ['k0'],
  user_data: null,
  labels: [],
  firewalls: [],
  volumes: [],
  security_rules: null,
  callback_url: null,
  floating_ip: false,
  power: 'unmanaged',
};

export const SPECS: SpecOf = {
  Environment: { region: 'default-1' },
  Keypair: { public_key: 'ssh-ed25519 AAAA' },
  Firewall: { rules: [] },
  Volume: { size: 1, type: 'Cloud-SSD', image: null },
  Profile: { description: '', data: {} },
  VirtualMachine: VM_SPEC,
};

const ofOrganization = (kind: Kind): boolean => kind === 'Environment' || kind === 'Profile';

export function declared<K extends Kind>(kind: K, name: string, change: Partial<SpecOf[K]> = {}, protect = false): DeclaredResource {
  const environment = ofOrganization(kind) ? '' : 'e0';
  const spec = { ...SPECS[kind], ...change };
  return { kind, environment, name, protect, spec, source: { file: 'a.yaml', line: 1 }, userData: null, group: null } as unknown as DeclaredResource;
}

export const actual = (resource: DeclaredResource, change: Partial<ActualResource> = {}): ActualResource =>
  ({
    kind: resource.kind,
    environment: resource.environment,
    name: resource.name,
    id: 1,
    owned: true,
    protect: resource.protect,
    readiness: 'ready',
    fault: null,
    spec: resource.spec,
    current: { name: resource.name, environment: resource.environment },
    ...change,
  }) as ActualResource;

const names = (prefix: string) => fc.uniqueArray(fc.integer({ min: 0, max: 2 }).map((number) => `${prefix}${number}`), { maxLength: 3 }).map((list) => list.sort());

const measured = (cpu: number): MeasuredFlavor => ({ cpu, ram_mib: 1_536, disk: 7, gpu: '', gpu_count: 0 });

const SPEC: { readonly [K in Kind]: fc.Arbitrary<SpecOf[K]> } = {
  Environment: fc.record({ region: fc.constantFrom('default-1', 'default-2') }),
  Keypair: fc.record({ public_key: fc.constantFrom('ssh-ed25519 AAAA', 'ssh-ed25519 BBBB') }),
  Firewall: fc.record({
    rules: fc.uniqueArray(
      fc.constantFrom(80, 443).map((portMin) => ({
        direction: 'ingress' as const,
        ethertype: 'IPv4' as const,
        protocol: 'tcp',
        remoteIpPrefix: '0.0.0.0/0',
        portMin,
        portMax: portMin,
      })),
      { selector: ({ portMin }) => portMin },
    ),
  }),
  Volume: fc.record({ size: fc.integer({ min: 1, max: 2 }), type: fc.constant('Cloud-SSD'), image: fc.constantFrom(null, 'tiny') }),
  Profile: fc.record({ description: fc.constantFrom('', 'other'), data: fc.dictionary(fc.constantFrom('a', 'b'), fc.constantFrom('1', '2')) }),
  VirtualMachine: fc.record({
    flavor: fc.constantFrom('tiny-1', 'tiny-2', measured(1), measured(2)),
    image: fc.constantFrom('tiny', 'huge', null),
    boot_volume: fc.constantFrom(null, 'v0', 'v1'),
    create_bootable_volume: fc.boolean(),
    keypairs: names('k'),
    user_data: fc.constantFrom(null, 'sha256:1', 'sha256:2'),
    labels: names('l'),
    firewalls: names('f'),
    volumes: names('v'),
    security_rules: fc.constantFrom(null, []),
    callback_url: fc.constantFrom(null, 'https://example.org/'),
    floating_ip: fc.boolean(),
    power: fc.constantFrom('running' as const, 'stopped' as const, 'unmanaged' as const),
  }),
};

const PREFIX: Readonly<Record<Kind, string>> = { Environment: 'e', Keypair: 'k', Firewall: 'f', Volume: 'v', Profile: 'p', VirtualMachine: 'm' };

/** As the machine number that there would be of a group: those of one environment are one group. */
const membership = (number: number, grouped: boolean): DeclaredVirtualMachine['group'] => (grouped ? { name: 'm', index: number + 1, maxUnavailable: 1 } : null);

/** Of few names, so that they meet. */
export const anyDeclared: fc.Arbitrary<DeclaredResource> = fc.constantFrom(...KINDS).chain((kind) =>
  fc
    .record({
      number: fc.integer({ min: 0, max: 3 }),
      place: fc.constantFrom('e0', 'e1'),
      protect: fc.boolean(),
      grouped: fc.boolean(),
      spec: SPEC[kind] as fc.Arbitrary<unknown>,
    })
    .map(({ number, place, protect, grouped, spec }) => {
      const environment = ofOrganization(kind) ? '' : place;
      const name = `${PREFIX[kind]}${number}`;
      const group = membership(number, grouped);
      return { kind, environment, name, protect, spec, source: { file: 'a.yaml', line: 1 }, userData: null, group } as unknown as DeclaredResource;
    }),
);

export const anyActual: fc.Arbitrary<ActualResource | ForeignResource> = fc
  .record({
    resource: anyDeclared,
    owned: fc.boolean(),
    readiness: fc.constantFrom('ready' as const, 'busy' as const, 'deleting' as const, 'failed' as const),
    power: fc.constantFrom('running' as const, 'stopped' as const),
  })
  .map(({ resource, owned, readiness, power }) => {
    const spec = resource.kind === 'VirtualMachine' ? { ...resource.spec, power } : resource.spec;
    const { kind, environment, name } = resource;
    if (!owned) return { kind, environment, name, owned };
    const atRest = resource.kind === 'VirtualMachine' || (resource.kind === 'Volume' && readiness === 'busy') ? readiness : 'ready';
    return actual({ ...resource, spec } as DeclaredResource, { readiness: atRest });
  });
