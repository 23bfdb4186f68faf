/**
 * The manifest's form, once: manifests are validated by it, and editors get it as JSON Schema. What takes more than
 * one field or the network to judge is judged later, when the manifest is compiled or applied.
 */
import { z } from 'zod';
import { PROTOCOL_NUMBERS, type ProtocolName } from '../../../protocol/security-rule.js';
import { MAX_ENVIRONMENT_NAME_LENGTH } from '../../environments/environment-name.js';
import { CUSTOM_FLAVOR_LIMITS } from '../../virtual-machines/size.request.js';
import { KINDS, type Kind } from './resource.js';

/** Of one document. More machines than that are better told apart by environments. */
export const MOST_OF_A_GROUP = 1_000;

const name = z
  .string()
  .min(1)
  .max(100)
  .regex(/^[^/\p{C}]+$/u, 'must have printable characters and no slash')
  .describe('May contain {{ index }} where there is a count.');

const reference = z.string().min(1).max(100);

const environment = z
  .string()
  .min(1)
  .max(MAX_ENVIRONMENT_NAME_LENGTH)
  .describe('Name of the environment it is in: one of this manifest or one that exists.');

const label = z.string().regex(/^[^\p{C}/]{1,64}$/u, 'must have 1 to 64 printable characters and no slash');

const protect = z.boolean().optional().describe('true: never deleted and never replaced, whatever the manifest says later.');

const count = z
  .int()
  .min(0)
  .max(MOST_OF_A_GROUP)
  .optional()
  .describe('Makes a group: name-1, name-2, … or, where the name contains {{ index }}, the name with each index.');

const port = z.int().min(1).max(65_535).optional();

const unique = <Item extends z.ZodType>(items: z.ZodArray<Item>) =>
  items.refine((list) => new Set(list).size === list.length, 'must not name the same twice');

const rule = z.strictObject({
  direction: z.enum(['ingress', 'egress']),
  ethertype: z.enum(['IPv4', 'IPv6']).default('IPv4'),
  protocol: z.enum(Object.keys(PROTOCOL_NUMBERS) as [ProtocolName, ...ProtocolName[]]),
  remote_ip_prefix: z.string().max(64).describe('The other end, as in 0.0.0.0/0.'),
  port_range_min: port,
  port_range_max: port.describe('Without one of the two, the other alone.'),
});

const measuredFlavor = z.strictObject({
  cpu: z.int().min(1).max(CUSTOM_FLAVOR_LIMITS.mostVcpus),
  ram: z.number().min(CUSTOM_FLAVOR_LIMITS.leastRamGb).max(CUSTOM_FLAVOR_LIMITS.mostRamGb).describe('GB, in steps of 1/1024.'),
  disk: z.int().min(1).max(CUSTOM_FLAVOR_LIMITS.mostDiskGb).describe('GB.'),
  gpu: z.string().min(1).regex(CUSTOM_FLAVOR_LIMITS.gpuModel, 'must be the name of a GPU model').optional().describe('Model; needs gpu_count too.'),
  gpu_count: z.int().min(1).max(CUSTOM_FLAVOR_LIMITS.mostGpus).optional(),
});

export const ONE_AT_A_TIME = 1;

const rollout = z.strictObject({
  max_unavailable: z
    .int()
    .min(1)
    .max(MOST_OF_A_GROUP)
    .default(ONE_AT_A_TIME)
    .describe('How many of the group a change may keep out of service at a time, while it replaces or resizes them.'),
});

const ofOrganization = { metadata: z.strictObject({ name, protect }) };
const inEnvironment = { metadata: z.strictObject({ name, environment, protect }) };

const FORM = {
  Environment: {
    ...ofOrganization,
    spec: z.strictObject({ region: z.string().min(1).max(100) }),
  },
  Keypair: {
    ...inEnvironment,
    spec: z.strictObject({ public_key: z.string().min(1).max(16 * 1024).describe('One line, as in a .pub file of OpenSSH.') }),
  },
  Firewall: {
    ...inEnvironment,
    spec: z.strictObject({
      rules: z.array(rule).max(50).default([]).describe('What may pass; nothing else may, but for replies.'),
      default_egress: z.boolean().default(true).describe('Guests may connect to anywhere, beside the rules.'),
    }),
  },
  Volume: {
    ...inEnvironment,
    spec: z.strictObject({
      size: z.int().min(1).max(1_048_576).describe('GiB.'),
      type: z.enum(['Cloud-SSD']).default('Cloud-SSD'),
      image: reference.optional().describe('Makes it of this image, so that a machine can boot from it.'),
      count,
    }),
  },
  Profile: {
    ...ofOrganization,
    spec: z.strictObject({
      description: z.string().max(150).default(''),
      data: z.record(z.string().max(100), z.string()),
    }),
  },
  VirtualMachine: {
    metadata: z.strictObject({
      name,
      environment,
      protect,
      labels: unique(z.array(label).max(20)).default([]),
    }),
    spec: z.strictObject({
      flavor: z
        .union([reference, measuredFlavor], { error: 'must be the name of a flavor, or a size of cpu, ram and disk' })
        .describe('Its name, or a size made to measure. Another one resizes the machine.'),
      image: reference.optional().describe('Another image replaces the machine. Needed unless boot_volume is given.'),
      boot_volume: reference.optional().describe('Instead of an image: a bootable volume of the environment. Another one replaces the machine.'),
      create_bootable_volume: z.boolean().default(false).describe('Makes the root disk a volume of its own, which outlives the machine.'),
      keypairs: unique(z.array(reference).min(1).max(20)).describe('Other keypairs replace the machine.'),
      user_data: z.string().optional().describe('For cloud-init. Another text replaces the machine.'),
      user_data_file: z.string().min(1).max(500).optional().describe('Instead of user_data: a file, named from the folder of this one.'),
      firewalls: unique(z.array(reference).max(50)).default([]),
      volumes: unique(z.array(reference).max(10)).default([]),
      security_rules: z.array(rule).max(50).optional().describe('Beside those that every machine has. Left out, rules that are added by hand are left alone.'),
      callback_url: z.string().max(250).optional(),
      floating_ip: z.boolean().default(false),
      power: z.enum(['running', 'stopped']).optional().describe('Left out, who starts and stops it by hand is left alone.'),
      profile: z
        .strictObject({ name: z.string().min(1).max(50), description: z.string().max(150).default('') })
        .optional()
        .describe('Keeps what a request for such a machine says as a profile too, under this name.'),
      count,
      rollout: rollout.optional().describe('Of a group.'),
    }),
  },
} as const satisfies Record<Kind, { metadata: z.ZodType; spec: z.ZodType }>;

const document = <K extends Kind>(kind: K) =>
  z.strictObject({ apiVersion: z.literal('baton/v1'), kind: z.literal(kind), ...FORM[kind] });

const DOCUMENTS = {
  Environment: document('Environment'),
  Keypair: document('Keypair'),
  Firewall: document('Firewall'),
  Volume: document('Volume'),
  Profile: document('Profile'),
  VirtualMachine: document('VirtualMachine'),
};

export type ManifestDocument = { [K in Kind]: z.output<(typeof DOCUMENTS)[K]> }[Kind];
export type DocumentOf<K extends Kind> = Extract<ManifestDocument, { kind: K }>;

export interface FieldProblem {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** One document, as YAML gave it. */
export function checkDocument(value: unknown): ManifestDocument | readonly FieldProblem[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return [{ path: [], message: 'must be a mapping with apiVersion, kind, metadata and spec' }];
  const { apiVersion, kind } = value as { apiVersion?: unknown; kind?: unknown };
  if (apiVersion !== 'baton/v1') return [{ path: ['apiVersion'], message: 'must be baton/v1' }];
  if (!KINDS.includes(kind as Kind)) return [{ path: ['kind'], message: `must be one of ${KINDS.join(', ')}` }];
  const result = DOCUMENTS[kind as Kind].safeParse(value);
  return result.success ? result.data : result.error.issues.flatMap(fieldProblems);
}

function fieldProblems(issue: z.core.$ZodIssue): FieldProblem[] {
  const path = issue.path as (string | number)[];
  if (issue.code === 'invalid_union') return unionProblems(issue, path);
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ path: [...path, key], message: 'is not a known field' }));
  if (issue.code === 'invalid_type' && issue.message.endsWith('received undefined')) return [{ path, message: 'is required' }];
  return [{ path, message: inWords(issue) }];
}

/** Of the form that was meant, where the value shows which. */
function unionProblems({ errors, message }: z.core.$ZodIssueInvalidUnion, path: (string | number)[]): FieldProblem[] {
  const meant = errors.find((issues) => !issues.some((inner) => inner.code === 'invalid_type' && inner.path.length === 0));
  if (meant !== undefined) return meant.flatMap((inner) => fieldProblems({ ...inner, path: [...path, ...inner.path] } as z.core.$ZodIssue));
  const isMissing = errors.every((issues) => issues.every((inner) => inner.message.endsWith('received undefined')));
  return [{ path, message: isMissing ? 'is required' : message }];
}

function inWords(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'too_small':
      return `must ${measured(issue.origin, 'least', Number(issue.minimum))}`;
    case 'too_big':
      return `must ${measured(issue.origin, 'most', Number(issue.maximum))}`;
    case 'invalid_value':
      return `must be ${issue.values.length === 1 ? '' : 'one of '}${issue.values.join(', ')}`;
    case 'invalid_type':
      return `must be ${A_TYPE[issue.expected] ?? issue.expected}`;
    default:
      return issue.message;
  }
}

const A_TYPE: Readonly<Record<string, string>> = {
  int: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  string: 'text: put it in quotes where YAML takes it for something else',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
};

const UNITS: Readonly<Record<string, string>> = { string: 'characters', array: 'items' };

const measured = (origin: string, which: 'least' | 'most', limit: number): string =>
  UNITS[origin] === undefined ? `be at ${which} ${limit}` : `have at ${which} ${limit} ${UNITS[origin]}`;

/** What `GET /gitops/schema.json` answers: put `# yaml-language-server: $schema=URL` on top of a manifest. */
export const manifestJsonSchema = (): object => ({
  ...z.toJSONSchema(z.discriminatedUnion('kind', Object.values(DOCUMENTS) as never), { io: 'input', target: 'draft-7' }),
  title: 'A document of a Baton manifest',
});
