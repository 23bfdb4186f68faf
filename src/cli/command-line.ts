/**
 * The command line as a table: every command, its own flags and the roles whose settings it takes as flags. Parsing is
 * pure, so that help, errors and tests need no cloud. What a command does is in `commands/`, loaded only when it runs:
 * a compute worker must not load the conductor's ORM.
 */
import { parseArgs } from 'node:util';
import type { Flags } from '../config/load.js';
import { SETTINGS, type Role } from '../config/settings.js';
import { GITOPS_COMMANDS } from './gitops-commands.js';
import { SNAPSHOT_COMMANDS, VM_COMMANDS } from './vm-commands.js';
import { VOLUME_COMMANDS } from './volume-commands.js';

export interface OwnFlag {
  readonly type: 'string' | 'boolean';
  /** One letter, for what is typed often. */
  readonly short?: string;
  /** How its value is called in the help. */
  readonly value?: string;
  readonly help: string;
}

export interface CommandDefinition {
  /** How it is asked for: by words, or by a flag for the roles a process can have. */
  readonly words: string;
  /** What follows the words, as the help calls it: `NODE`. Read from the flags under its name in lower case. */
  readonly operand?: string;
  readonly summary: string;
  readonly roles: readonly Role[];
  readonly flags: Readonly<Record<string, OwnFlag>>;
  /** Flags of its roles that it does not take, because it decides these settings itself. */
  readonly without?: readonly string[];
}

const conductor: readonly Role[] = ['conductor'];

const IMAGE_FLAGS = {
  format: { type: 'string', value: 'qcow2|raw', help: 'Of the file. Default: qcow2.' },
  region: { type: 'string', value: 'NAME', help: 'Needed where there are several.' },
  type: { type: 'string', value: 'NAME', help: 'The distribution, by which images are grouped.' },
  release: { type: 'string', value: 'TEXT', help: 'Its version.' },
  'minimum-disk': { type: 'string', value: 'GB', help: 'What the disk of a VM must have at least.' },
  labels: { type: 'string', value: 'A,B', help: 'With commas between them.' },
} as const satisfies Readonly<Record<string, OwnFlag>>;

export const COMMANDS = {
  conductor: {
    words: '',
    summary: 'Serve the API. Brings the database to the newest schema first.',
    roles: conductor,
    flags: {},
  },
  compute: {
    words: '--compute',
    summary: 'Run the worker of one compute node.',
    roles: ['compute'],
    flags: {},
  },
  'all-in-one': {
    words: '--all-in-one',
    summary: 'Run a whole cloud in one process. bin/up does this.',
    roles: ['conductor', 'compute'],
    without: ['name', 'conductor', 'state'],
    flags: {
      nodes: { type: 'string', value: 'N', help: 'Compute nodes, 1 to 16. Default: 1, or as many as there were.' },
      hypervisor: {
        type: 'string',
        value: 'auto|libvirt|simulated',
        help: 'auto (the default) runs real guests with libvirt where that is possible, else simulated ones.',
      },
      fresh: { type: 'boolean', help: 'Destroy the cloud that is there, virtual machines and all, and start anew.' },
      'no-install': { type: 'boolean', help: 'Do not install libvirt, even as root on Debian or Ubuntu.' },
    },
  },
  migrate: {
    words: 'migrate',
    summary: 'Bring the database to the newest schema.',
    roles: conductor,
    flags: { check: { type: 'boolean', help: 'Only compare; exit with 1 and the statements when there is a difference.' } },
  },
  seed: {
    words: 'seed',
    summary: 'Add the demo region, flavors, image, organization, environment, keypair and API key. Repeatable.',
    roles: conductor,
    flags: {
      'guest-image': { type: 'string', value: 'FOLDER', help: 'What guest-image/build.sh made. Without it a placeholder.' },
    },
  },
  'admin fsck': {
    words: 'admin fsck',
    summary: 'Check every invariant of database, nodes and broker; exit with 1 when one is violated.',
    roles: conductor,
    flags: { repair: { type: 'boolean', help: 'Put right what can be put right without a doubt.' } },
  },
  'admin join-token': {
    words: 'admin join-token',
    summary: 'Make a token that lets new compute nodes join.',
    roles: conductor,
    flags: {
      uses: { type: 'string', value: 'N', help: 'How many nodes may join with it. Default: 1.' },
      ttl: { type: 'string', value: 'SECONDS', help: 'How long it is valid. Default: 3600.' },
    },
  },
  'admin member': {
    words: 'admin member',
    summary: 'Make a user and a member of an organization, both where they are missing, and print an API key.',
    roles: conductor,
    flags: {
      organization: { type: 'string', value: 'NAME', help: 'Made when there is none.' },
      email: { type: 'string', value: 'ADDRESS', help: 'Of the user.' },
      owner: { type: 'boolean', help: 'Make the user an owner, who may do everything.' },
    },
  },
  'admin quota': {
    words: 'admin quota',
    summary: 'Show how much an organization, or one of its environments, has and may have, after setting what is given.',
    roles: conductor,
    flags: {
      organization: { type: 'string', value: 'NAME', help: 'Which one.' },
      environment: { type: 'string', value: 'NAME', help: 'This one of its environments, within what the organization may have.' },
      vms: { type: 'string', value: 'N|unlimited', help: 'Virtual machines.' },
      vcpus: { type: 'string', value: 'N|unlimited', help: 'Virtual CPUs.' },
      'memory-mib': { type: 'string', value: 'N|unlimited', help: 'Memory in MiB.' },
      'disk-gib': { type: 'string', value: 'N|unlimited', help: 'Disk in GiB, of VMs.' },
      gpus: { type: 'string', value: 'N|unlimited', help: 'GPUs.' },
      volumes: { type: 'string', value: 'N|unlimited', help: 'Volumes.' },
      'volume-gib': { type: 'string', value: 'N|unlimited', help: 'GiB of volumes.' },
      'floating-ips': { type: 'string', value: 'N|unlimited', help: 'Floating IPs that VMs hold.' },
      snapshots: { type: 'string', value: 'N|unlimited', help: 'Snapshots.' },
      'snapshot-gib': { type: 'string', value: 'N|unlimited', help: 'GiB that snapshots take.' },
    },
  },
  'admin price': {
    words: 'admin price',
    summary: 'Show what things cost per hour, after setting what is given. Holds from now on.',
    roles: conductor,
    flags: {
      flavor: { type: 'string', value: 'NAME', help: 'Price of a VM with this flavor, in every region.' },
      'volume-type': { type: 'string', value: 'NAME', help: 'Price of a GB of a volume of this type.' },
      'floating-ip': { type: 'boolean', help: 'Price of a floating IP.' },
      'per-hour': { type: 'string', value: 'AMOUNT', help: 'In the currency of BATON_CURRENCY, such as 0.05.' },
    },
  },
  'admin auto-recover': {
    words: 'admin auto-recover',
    summary: 'Say whose new VMs are started elsewhere, with an EMPTY disk, when their node is lost.',
    roles: conductor,
    flags: {
      organization: { type: 'string', value: 'NAME', help: 'All VMs of this organization.' },
      flavor: { type: 'string', value: 'NAME', help: 'All VMs of this flavor, in every region.' },
      off: { type: 'boolean', help: 'No longer.' },
    },
  },
  'admin dead-letters': {
    words: 'admin dead-letters',
    summary: 'List the tasks that no worker could carry out, or ask for one once more.',
    roles: conductor,
    flags: { replay: { type: 'string', value: 'TASK', help: 'Ask once more for what this task was for.' } },
  },
  'admin node drain': {
    words: 'admin node drain',
    operand: 'NODE',
    summary: 'Place no new VMs on a node, and say what is still there. Disks are local: nothing is moved.',
    roles: conductor,
    flags: { stop: { type: 'boolean', help: 'Stop the VMs that run there too; undrain starts them again.' } },
  },
  'admin node undrain': {
    words: 'admin node undrain',
    operand: 'NODE',
    summary: 'Place VMs on a node again, and start those that draining has stopped.',
    roles: conductor,
    flags: {},
  },
  'admin audit': {
    words: 'admin audit',
    summary: 'Show who changed what in an organization, the latest first.',
    roles: conductor,
    flags: {
      organization: { type: 'string', value: 'NAME', help: 'Which one.' },
      resource: { type: 'string', value: 'KIND', help: 'Only of one kind, such as virtual-machine.' },
      id: { type: 'string', value: 'N', help: 'Only what is about the resource with this number.' },
      request: { type: 'string', value: 'ID', help: 'Only of the request whose answer had this x-request-id.' },
      last: { type: 'string', value: 'N', help: 'At most so many. Default: 50.' },
    },
  },
  'admin drift': {
    words: 'admin drift',
    summary: 'List what is on the nodes and should not be so, since when, and what was done about it.',
    roles: conductor,
    flags: { all: { type: 'boolean', help: 'Also what is over, of the last week.' } },
  },
  'admin nodes': { words: 'admin nodes', summary: 'List the compute nodes.', roles: conductor, flags: {} },
  'admin overdue': {
    words: 'admin overdue',
    summary: 'List what should have come further by now, with whom it waits for and what to do.',
    roles: conductor,
    flags: {},
  },
  'admin tasks': { words: 'admin tasks', summary: 'List the unfinished tasks.', roles: conductor, flags: {} },
  'image list': { words: 'image list', summary: 'List the images that VMs can be made of, and those on their way.', roles: [], flags: {} },
  'image show': {
    words: 'image show',
    operand: 'IMAGE',
    summary: 'Show an image, by name or id: how far it is, or why it is in error.',
    roles: [],
    flags: {},
  },
  'image add': {
    words: 'image add',
    operand: 'NAME',
    summary: 'Register an image by URL, and wait until a compute node has downloaded and checked it.',
    roles: [],
    flags: {
      url: { type: 'string', value: 'URL', help: 'Where the file is.' },
      checksum: { type: 'string', value: 'HEX', help: 'SHA-256 or SHA-512 of the file.' },
      ...IMAGE_FLAGS,
      'no-wait': { type: 'boolean', help: 'Do not wait for it.' },
    },
  },
  'image upload': {
    words: 'image upload',
    operand: 'FILE',
    summary: 'Register an image and upload its file.',
    roles: [],
    flags: {
      name: { type: 'string', value: 'NAME', help: 'Default: that of the file.' },
      ...IMAGE_FLAGS,
    },
  },
  'image delete': {
    words: 'image delete',
    operand: 'IMAGE',
    summary: 'Delete an image of your own, by name or id. VMs made of it go on.',
    roles: [],
    flags: {},
  },
  'vm create': {
    words: 'vm create',
    operand: 'NAME',
    summary: 'Create virtual machines.',
    roles: [],
    flags: {
      environment: { type: 'string', value: 'NAME', help: 'Where; it decides the region too.' },
      key: { type: 'string', value: 'NAME', help: 'A keypair of the environment.' },
      flavor: { type: 'string', value: 'NAME', help: 'An offered size; or say --cpu, --ram and --disk.' },
      cpu: { type: 'string', value: 'N', help: 'Of a size made to measure: virtual CPUs.' },
      ram: { type: 'string', value: 'GB', help: 'Of a size made to measure: memory.' },
      disk: { type: 'string', value: 'GB', help: 'Of a size made to measure: root disk.' },
      gpu: { type: 'string', value: 'MODEL', help: 'Of a size made to measure, with --gpu-count.' },
      'gpu-count': { type: 'string', value: 'N', help: 'Of a size made to measure.' },
      image: { type: 'string', value: 'NAME', help: 'What it boots from; or say --volume.' },
      volume: { type: 'string', value: 'NAME', help: 'A bootable volume of the environment to boot from.' },
      'bootable-volume': { type: 'boolean', help: 'Make the root disk a volume, which outlives the VM.' },
      'floating-ip': { type: 'boolean', help: 'With an address of the public pool.' },
      count: { type: 'string', value: 'N', help: 'So many, named NAME-1, NAME-2 and so on. Default: 1.' },
      callback: { type: 'string', value: 'URL', help: 'Gets one signed POST for each change of status.' },
    },
  },
  'vm console': {
    words: 'vm console',
    operand: 'NAME',
    summary: 'Print the address of a VM\'s screen, or be its serial terminal. NAME may be ENVIRONMENT/NAME.',
    roles: [],
    flags: {
      serial: { type: 'boolean', help: 'The serial console, attached to this terminal: Ctrl-] or ~. leaves.' },
      url: { type: 'boolean', help: 'Only print the address, of the serial console too.' },
    },
  },
  'vm metrics': {
    words: 'vm metrics',
    operand: 'NAME',
    summary: 'Show what a VM has used. NAME may be ENVIRONMENT/NAME.',
    roles: [],
    flags: { duration: { type: 'string', value: '1h|2h|4h|6h|12h|1d|3d|7d|15d|30d', help: 'How far back. Default: 1h.' } },
  },
  ...VM_COMMANDS,
  ...VOLUME_COMMANDS,
  ...SNAPSHOT_COMMANDS,
  ...GITOPS_COMMANDS,
} as const satisfies Record<string, CommandDefinition>;

export type CommandName = keyof typeof COMMANDS;

export const commandDefinition = (name: CommandName): CommandDefinition => COMMANDS[name];

/** Understood by every command. */
export const GENERAL_FLAGS: Readonly<Record<string, OwnFlag>> = {
  help: { type: 'boolean', help: 'Show this, or the flags of one command.' },
  version: { type: 'boolean', help: 'Show the version.' },
  'print-config': { type: 'boolean', help: 'Show every setting with its value and what it means.' },
};

export interface CommandLine {
  readonly command: CommandName;
  /** False when only general flags were given, as in `baton --help`. */
  readonly explicit: boolean;
  readonly flags: Flags;
}

/** Wrong usage: the message alone is shown, and the exit status is 2. */
export class UsageError extends Error {
  constructor(message: string) {
    super(`${message} See --help.`);
    this.name = 'UsageError';
  }
}

export function parseCommandLine(args: readonly string[]): CommandLine {
  const command = chooseCommand(args);
  const { words, operand } = commandDefinition(command);
  const mode = words.startsWith('--') ? { [words.slice(2)]: { type: 'boolean' as const } } : {};
  const options = { ...mode, ...settingFlags(command), ...commandDefinition(command).flags, ...GENERAL_FLAGS };
  try {
    const isGiven = operand !== undefined && leadingWords(args).length > words.split(' ').length;
    const { values } = parseArgs({ args: withoutWords(args, words, isGiven ? 1 : 0), options, allowPositionals: false });
    const given = isGiven && { [operand.toLowerCase()]: leadingWords(args).at(-1)! };
    return { command, explicit: words !== '', flags: { ...(values as Flags), ...given } };
  } catch (error) {
    throw new UsageError(usageProblem(error));
  }
}

export function settingFlags(command: CommandName): Record<string, OwnFlag> {
  const flags: Record<string, OwnFlag> = {};
  const { roles, without = [] } = commandDefinition(command);
  for (const setting of Object.values(SETTINGS)) {
    if (setting.flag === undefined || !setting.roles.some((role) => roles.includes(role))) continue;
    if (without.includes(setting.flag)) continue;
    flags[setting.flag] = { type: 'string', value: 'VALUE', help: `${setting.help} (${setting.env})` };
  }
  return flags;
}

function chooseCommand(args: readonly string[]): CommandName {
  const words = leadingWords(args).join(' ');
  const modes = (['compute', 'all-in-one'] as const).filter((mode) => args.includes(`--${mode}`));
  if (modes.length > 1) throw new UsageError('Give either --compute or --all-in-one.');
  if (words === '') return modes[0] ?? 'conductor';
  const found = (Object.keys(COMMANDS) as CommandName[]).find((name) => isAskedFor(commandDefinition(name), words, args.includes('--help')));
  if (!found) {
    const longer = Object.keys(COMMANDS).filter((name) => name.startsWith(`${words} `));
    throw new UsageError(longer.length === 0 ? `There is no command '${words}'.` : `'${words}' needs more: one of ${longer.map((name) => name.slice(words.length + 1)).join(', ')}.`);
  }
  return found;
}

function leadingWords(args: readonly string[]): readonly string[] {
  const firstFlag = args.findIndex((arg) => arg.startsWith('-'));
  return args.slice(0, firstFlag < 0 ? args.length : firstFlag);
}

/** Who asks how a command is used need not say what it is about. */
function isAskedFor({ words, operand }: CommandDefinition, given: string, helpIsWanted: boolean): boolean {
  if (operand === undefined || !given.startsWith(words)) return given === words;
  if (given.slice(words.length).trim().includes(' ')) return false;
  if (given === words && helpIsWanted) return true;
  if (given === words) throw new UsageError(`${words} needs ${operand}.`);
  return given[words.length] === ' ';
}

const withoutWords = (args: readonly string[], words: string, operands: number): string[] =>
  words === '' || words.startsWith('--') ? [...args] : args.slice(words.split(' ').length + operands);

function usageProblem(error: unknown): string {
  // Node's first sentence names the flag; what follows explains its own syntax.
  const [sentence] = (error as Error).message.split(/\. |\n/);
  return `${sentence!.replace(/\.$/, '')}.`;
}

/** A flag that is a whole number. */
export function integerFlag(flags: Flags, name: string, fallback: number, range: readonly [number, number]): number {
  const text = flags[name];
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isInteger(value) || value < range[0] || value > range[1])
    throw new UsageError(`--${name} must be a whole number from ${range[0]} to ${range[1]}.`);
  return value;
}

/** A flag that is a list, with commas between its parts. */
export const listFlag = (flags: Flags, name: string): string[] => {
  const text = flags[name];
  return typeof text === 'string' ? text.split(',').map((part) => part.trim()) : [];
};
