/**
 * Every setting that Baton has: its name in the environment, its flag, its type and default, and what it means.
 * `--print-config` prints this table; `load.ts` reads it. There is no other place where configuration comes from.
 */
import { z } from 'zod';
import { CRASH_POINTS } from '../crash-points.js';

export type Role = 'conductor' | 'compute';

interface Setting<Schema extends z.ZodType> {
  readonly env: string;
  /** Long flag without the dashes. */
  readonly flag?: string;
  readonly schema: Schema;
  readonly roles: readonly Role[];
  readonly help: string;
  /** Never printed. */
  readonly secret?: true;
}

const setting = <Schema extends z.ZodType>(definition: Setting<Schema>): Setting<Schema> => definition;

const both: readonly Role[] = ['conductor', 'compute'];
const conductor: readonly Role[] = ['conductor'];
const compute: readonly Role[] = ['compute'];

const integer = (minimum: number, maximum: number) =>
  z.coerce
    .number('must be a number')
    .int('must be a whole number')
    .min(minimum, `must be at least ${minimum}`)
    .max(maximum, `must be at most ${maximum}`);

const url = (...schemes: string[]) =>
  z.string().refine(
    (text) => URL.canParse(text) && schemes.includes(new URL(text).protocol.slice(0, -1)),
    `must be a URL that begins with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`,
  );

/** IPv4 in CIDR, with nothing behind the prefix. */
const network = (shortest: number, longest: number) =>
  z.cidrv4('must look like 10.128.0.0/9').superRefine((text, context) => {
    const [address = '', length = ''] = text.split('/');
    const bits = address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
    if (Number(length) < shortest || Number(length) > longest)
      context.addIssue({ code: 'custom', message: `must have a prefix length between ${shortest} and ${longest}` });
    else if (bits % 2 ** (32 - Number(length)) !== 0)
      context.addIssue({ code: 'custom', message: `must have no bits set behind the first ${length}` });
  });

const dnsLabel = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i, 'must be letters, digits and dashes, at most 63');

const list = (text: string): string[] =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');

/** `A100-80G=10de:20b5`: all of one vendor and product. `L40@0000:65:00.0`: the one there. `H100:2`: none that exists. */
const GPU = /^([\w.+-]+)(?::(\d+)|@([\da-f]{4}:[\da-f]{2}:[\da-f]{2}\.[0-7])|=([\da-f]{4}:[\da-f]{4}))$/i;

export type GpuSetting =
  | { readonly model: string; readonly count: number }
  | { readonly model: string; readonly pciAddress: string }
  | { readonly model: string; readonly pciProduct: string };

const gpuList = z.string().transform((text, context) =>
  list(text).map((item): GpuSetting => {
    const [, model, count, pciAddress, pciProduct] = GPU.exec(item) ?? [];
    if (model && count) return { model, count: Number(count) };
    if (model && pciAddress) return { model, pciAddress: pciAddress.toLowerCase() };
    if (model && pciProduct) return { model, pciProduct: pciProduct.toLowerCase() };
    context.addIssue({ code: 'custom', message: `'${item}' must look like A100-80G=10de:20b5, L40@0000:65:00.0 or, simulated, H100:4` });
    return z.NEVER;
  }),
);

export const SETTINGS = {
  environment: setting({
    env: 'BATON_ENV',
    schema: z.enum(['production', 'development']).default('production'),
    roles: both,
    help: 'In production, callbacks to loopback and private addresses cannot be allowed for all.',
  }),
  logLevel: setting({
    env: 'BATON_LOG_LEVEL',
    flag: 'log-level',
    schema: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace']).default('info'),
    roles: both,
    help: 'How much is logged (JSON lines on standard error).',
  }),
  crashAt: setting({
    env: 'BATON_CRASH_AT',
    schema: z.enum(CRASH_POINTS).optional(),
    roles: both,
    help: 'For tests of recovery, in development only: the process kills itself when it comes to this point.',
  }),
  databaseUrl: setting({
    env: 'DATABASE_URL',
    schema: url('postgres', 'postgresql'),
    roles: conductor,
    secret: true,
    help: 'PostgreSQL 14 or later. bin/up brings its own.',
  }),
  databasePool: setting({
    env: 'BATON_DATABASE_POOL',
    schema: integer(2, 200).default(12),
    roles: conductor,
    help: 'Most connections to the database that one conductor holds.',
  }),
  amqpUrl: setting({
    env: 'AMQP_URL',
    schema: url('amqp', 'amqps').optional(),
    roles: both,
    secret: true,
    help: 'RabbitMQ. Without it only --all-in-one works, on the embedded task bus.',
  }),
  host: setting({
    env: 'BATON_HOST',
    flag: 'host',
    schema: z.string().default('127.0.0.1'),
    roles: conductor,
    help: 'Address that the conductor listens on.',
  }),
  port: setting({
    env: 'BATON_PORT',
    flag: 'port',
    schema: integer(0, 65535).default(8080),
    roles: conductor,
    help: 'Port that the conductor listens on; 0 takes a free one.',
  }),
  maxRequests: setting({
    env: 'BATON_MAX_REQUESTS',
    schema: integer(8, 100_000).default(256),
    roles: conductor,
    help: 'Most requests of organizations that one conductor has in hand; more are answered with 503. Beyond half of it each organization gets its share (429). Workers and operators have slots of their own.',
  }),
  publicUrl: setting({
    env: 'BATON_PUBLIC_URL',
    schema: url('http', 'https').optional(),
    roles: conductor,
    help: 'Where browsers reach the conductors: set it where a proxy stands in front. Default: as each request was addressed.',
  }),
  peerUrl: setting({
    env: 'BATON_PEER_URL',
    schema: url('http', 'https').optional(),
    roles: conductor,
    help: 'Where other conductors reach this one, for consoles. Default: the address that the database sees, and the port.',
  }),
  consoleIdleSeconds: setting({
    env: 'BATON_CONSOLE_IDLE_SECONDS',
    schema: z.coerce.number().min(1).max(86_400).default(1_800),
    roles: conductor,
    help: 'After this long without a byte a console is closed.',
  }),
  consoleSeconds: setting({
    env: 'BATON_CONSOLE_SECONDS',
    schema: z.coerce.number().min(1).max(604_800).default(28_800),
    roles: conductor,
    help: 'After this long a console is closed in any case.',
  }),
  imageStore: setting({
    env: 'BATON_IMAGE_STORE',
    schema: z.string().default('var/images'),
    roles: conductor,
    help: 'Folder of the image files that the conductor serves to its workers, and of those that are uploaded. Conductors on several hosts must share it.',
  }),
  imageMaxGib: setting({
    env: 'BATON_IMAGE_MAX_GIB',
    schema: integer(1, 1024).default(32),
    roles: conductor,
    help: 'How large the file of an image may be that an organization registers or uploads.',
  }),
  imageMaxDiskGib: setting({
    env: 'BATON_IMAGE_MAX_DISK_GIB',
    schema: integer(1, 65_536).default(1024),
    roles: conductor,
    help: 'How large the disk may be that such an image unpacks to.',
  }),
  imagesPerOrganization: setting({
    env: 'BATON_IMAGES_PER_ORGANIZATION',
    schema: integer(0, 100_000).default(100),
    roles: conductor,
    help: 'How many images an organization may register and upload.',
  }),
  imageDeadlineSeconds: setting({
    env: 'BATON_IMAGE_DEADLINE_SECONDS',
    schema: integer(1, 7 * 86_400).default(6 * 3600),
    roles: conductor,
    help: 'An image that is not available this long after it was registered is given up.',
  }),
  auditDays: setting({
    env: 'BATON_AUDIT_DAYS',
    schema: integer(0, 36_500).default(400),
    roles: conductor,
    help: 'How many days the record of who changed what is kept. 0: for ever.',
  }),
  cpuAllocationRatio: setting({
    env: 'BATON_CPU_ALLOCATION_RATIO',
    schema: z.coerce.number().min(1).max(64).default(4),
    roles: conductor,
    help: 'Virtual processors that may be claimed for each physical one.',
  }),
  networkPool: setting({
    env: 'BATON_NETWORK_POOL',
    schema: network(8, 24).default('10.128.0.0/9'),
    roles: conductor,
    help: 'Where the subnets of environments are taken from. No host of the cloud may have addresses in it otherwise.',
  }),
  networkPrefix: setting({
    env: 'BATON_NETWORK_PREFIX',
    schema: integer(16, 28).default(20),
    roles: conductor,
    help: 'Prefix length of the subnet that each new environment gets: 20 has room for 4093 VMs.',
  }),
  placementPolicy: setting({
    env: 'BATON_PLACEMENT_POLICY',
    schema: z.enum(['spread', 'pack']).default('spread'),
    roles: conductor,
    help: 'Prefer the emptiest node, or the fullest that still fits.',
  }),
  customFlavors: setting({
    env: 'BATON_CUSTOM_FLAVORS',
    schema: z.enum(['true', 'false']).default('true').transform((text) => text === 'true'),
    roles: conductor,
    help: 'Whether VMs may be created with a size of their own (flavor) in place of an offered one (flavor_name).',
  }),
  currency: setting({
    env: 'BATON_CURRENCY',
    schema: z.string().regex(/^[A-Z]{3}$/, 'must be three capital letters, such as USD').default('USD'),
    roles: conductor,
    help: 'Currency of the prices set with `admin price`. Only a name: nothing is converted.',
  }),
  egressAllow: setting({
    env: 'BATON_EGRESS_ALLOW',
    schema: z.string().default('').transform(list),
    roles: both,
    help: 'CIDR ranges, separated by commas, that callbacks may go to and images come from although they are not public addresses.',
  }),
  secretKey: setting({
    env: 'BATON_SECRET_KEY',
    schema: z
      .string()
      .transform((text) => Buffer.from(text, 'base64'))
      .refine((key) => key.length === 32, 'must be 32 bytes in base64, as `openssl rand -base64 32` makes them')
      .optional(),
    roles: conductor,
    secret: true,
    help: 'Seals what has to be kept secret and read again: credentials of Git repositories. The same for all conductors; without it none can be kept.',
  }),
  joinToken: setting({
    env: 'BATON_JOIN_TOKEN',
    schema: z.string().min(20, 'must have at least 20 characters').optional(),
    roles: both,
    secret: true,
    help: 'Lets new compute nodes join. The conductor accepts it for any number of nodes; without it, tokens are made one at a time with `admin join-token`.',
  }),
  operatorKey: setting({
    env: 'BATON_OPERATOR_KEY',
    schema: z.string().min(20, 'must have at least 20 characters').optional(),
    roles: conductor,
    secret: true,
    help: 'Opens /admin over HTTP to operators; without it /admin is closed, and `baton admin` does the same on the database.',
  }),
  heartbeatSeconds: setting({
    env: 'BATON_HEARTBEAT_SECONDS',
    schema: z.coerce.number().min(0.1).max(60).default(3),
    roles: conductor,
    help: 'How often each node shall send a sign of life.',
  }),
  metricsSeconds: setting({
    env: 'BATON_METRICS_SECONDS',
    schema: z.coerce.number().min(0.1).max(60).default(60),
    roles: conductor,
    help: 'How often each node shall tell what its VMs use. It is kept by the minute.',
  }),
  nodeLeaseSeconds: setting({
    env: 'BATON_NODE_LEASE_SECONDS',
    schema: z.coerce.number().min(0.5).max(600).default(15),
    roles: conductor,
    help: 'After this long without a sign of life a node is DOWN and gets no new VMs.',
  }),
  fenceSeconds: setting({
    env: 'BATON_FENCE_SECONDS',
    schema: z.coerce.number().min(1).max(3600).default(60),
    roles: conductor,
    help: 'After this long without an answer to its signs of life a node stops its auto_recover VMs by itself. Workers learn it when they register.',
  }),
  fenceMarginSeconds: setting({
    env: 'BATON_FENCE_MARGIN_SECONDS',
    schema: z.coerce.number().min(0.5).max(600).default(20),
    roles: conductor,
    help: 'How much longer the conductor waits before it starts those VMs elsewhere: for clocks, and for the stopping.',
  }),
  drift: setting({
    env: 'BATON_DRIFT',
    schema: z.enum(['heal', 'show']).default('heal'),
    roles: conductor,
    help: 'What becomes of changes made on nodes behind the back of Baton: put right, or only shown by `baton admin drift`.',
  }),
  taskDeadlineSeconds: setting({
    env: 'BATON_TASK_DEADLINE_SECONDS',
    schema: integer(1, 3600).default(120),
    roles: conductor,
    help: 'A published task that was not reported on for this long is published again.',
  }),
  conductorUrl: setting({
    env: 'BATON_CONDUCTOR_URL',
    flag: 'conductor',
    schema: url('http', 'https').default('http://127.0.0.1:8080'),
    roles: compute,
    help: 'Where the worker reaches the conductor.',
  }),
  nodeName: setting({
    env: 'BATON_NODE_NAME',
    flag: 'name',
    schema: dnsLabel.optional(),
    roles: compute,
    help: 'Name of this compute node, unique in the fleet, also that of its queue. Default: the host name.',
  }),
  region: setting({
    env: 'BATON_REGION',
    flag: 'region',
    schema: z.string().min(1).default('default-1'),
    roles: compute,
    help: 'Region that this compute node stands in.',
  }),
  hypervisor: setting({
    env: 'BATON_HYPERVISOR',
    flag: 'hypervisor',
    schema: z.enum(['libvirt', 'simulated']).default('libvirt'),
    roles: compute,
    help: 'libvirt runs real guests; simulated pretends, for tests and for hosts without virtualization.',
  }),
  stateFolder: setting({
    env: 'BATON_STATE_FOLDER',
    flag: 'state',
    schema: z.string().default('/var/lib/baton'),
    roles: compute,
    help: 'Where the worker keeps its key, image cache, disks and console logs. QEMU must be able to reach it.',
  }),
  imageCacheGib: setting({
    env: 'BATON_IMAGE_CACHE_GIB',
    schema: integer(1, 65_536).default(50),
    roles: compute,
    help: 'Beyond this, image files that no disk of the node stands on are removed, the longest unused first; after a week anyway.',
  }),
  concurrency: setting({
    env: 'BATON_CONCURRENCY',
    schema: integer(1, 256).default(8),
    roles: compute,
    help: 'Tasks that this worker carries out at the same time.',
  }),
  acceleration: setting({
    env: 'BATON_ACCELERATION',
    schema: z.enum(['auto', 'kvm', 'tcg']).default('auto'),
    roles: compute,
    help: 'auto uses KVM if a probe guest boots under it, else emulation (TCG).',
  }),
  probeGuest: setting({
    env: 'BATON_PROBE_GUEST',
    schema: z.string().optional(),
    roles: compute,
    help: "Folder with the probe guest's vmlinuz and initrd.img, as guest-image/build.sh makes them. Without it `auto` emulates.",
  }),
  metadataAddress: setting({
    env: 'BATON_METADATA_ADDRESS',
    schema: z.ipv4('must be an IPv4 address').default('169.254.75.1'),
    roles: compute,
    help: 'Address that this host takes on for its guests, where they fetch their metadata. Nothing else may have it.',
  }),
  metadataPort: setting({
    env: 'BATON_METADATA_PORT',
    schema: integer(1, 65535).default(8775),
    roles: compute,
    help: 'Port where guests fetch their metadata; another one for each worker of a host. Guests remember it: a change reaches each one at its next start.',
  }),
  gpus: setting({
    env: 'BATON_GPUS',
    schema: gpuList.prefault(''),
    roles: compute,
    help: 'GPUs that this node offers, separated by commas: MODEL=VENDOR:PRODUCT (all such devices of the host) or MODEL@PCI_ADDRESS; MODEL:COUNT on simulated nodes.',
  }),
  simulatedCapacity: setting({
    env: 'BATON_SIMULATED_CAPACITY',
    schema: z
      .string()
      .regex(/^\d+:\d+:\d+$/, 'must look like CPUS:MEMORY_MIB:DISK_GIB')
      .default('32:131072:2000')
      .transform((text) => text.split(':').map(Number) as [number, number, number]),
    roles: compute,
    help: 'What a simulated node has: CPUS:MEMORY_MIB:DISK_GIB.',
  }),
  simulatedBootMs: setting({
    env: 'BATON_SIMULATED_BOOT_MS',
    schema: integer(0, 600_000).default(500),
    roles: compute,
    help: 'How long a simulated guest takes to start, in milliseconds.',
  }),
  simulatedFailureRate: setting({
    env: 'BATON_SIMULATED_FAILURE_RATE',
    schema: z.coerce.number().min(0).max(1).default(0),
    roles: compute,
    help: 'Share of simulated starts that fail.',
  }),
} as const;

type Settings = typeof SETTINGS;
export type SettingName = keyof Settings;

/** The configuration of one process, typed by the table above. */
export type Config = { readonly [Name in SettingName]: z.output<Settings[Name]['schema']> };
