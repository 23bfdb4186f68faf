/** The commands about VMs that are there and about their snapshots, as parts of the table in `command-line.ts`. */
import type { CommandDefinition, OwnFlag } from './command-line.js';

const WAIT = { type: 'boolean', help: 'Wait until it is done; exit with 1 when it fails.' } as const satisfies OwnFlag;

export const VM_COMMANDS = {
  'vm list': {
    words: 'vm list',
    summary: 'List the virtual machines.',
    roles: [],
    flags: { environment: { type: 'string', value: 'NAME', help: 'Only those of this environment.' } },
  },
  'vm show': { words: 'vm show', operand: 'NAME', summary: 'Show a VM. NAME may be ENVIRONMENT/NAME, here and below.', roles: [], flags: {} },
  'vm start': { words: 'vm start', operand: 'NAME', summary: 'Start a VM that is off.', roles: [], flags: { wait: WAIT } },
  'vm stop': {
    words: 'vm stop',
    operand: 'NAME',
    summary: 'Ask the guest of a VM to shut down; it is switched off if it does not.',
    roles: [],
    flags: { wait: WAIT },
  },
  'vm reboot': { words: 'vm reboot', operand: 'NAME', summary: 'Reset a VM, as by its button.', roles: [], flags: { wait: WAIT } },
  'vm hibernate': {
    words: 'vm hibernate',
    operand: 'NAME',
    summary: 'Keep the memory of a VM on disk, and give back what it claims but for that disk.',
    roles: [],
    flags: { 'retain-ip': { type: 'boolean', help: 'Keep its floating IP.' }, wait: WAIT },
  },
  'vm restore': { words: 'vm restore', operand: 'NAME', summary: 'Let a hibernated VM go on where it was.', roles: [], flags: { wait: WAIT } },
  'vm resize': {
    words: 'vm resize',
    operand: 'NAME',
    summary: 'Give a VM another flavor; one that runs is restarted.',
    roles: [],
    flags: { flavor: { type: 'string', value: 'NAME', help: 'Its disk must not be smaller than the present one.' }, wait: WAIT },
  },
  'vm delete': { words: 'vm delete', operand: 'NAME', summary: 'Delete a VM and its root disk.', roles: [], flags: { wait: WAIT } },
  'vm logs': {
    words: 'vm logs',
    operand: 'NAME',
    summary: "Print the end of a VM's serial console.",
    roles: [],
    flags: { lines: { type: 'string', value: 'N', help: 'How many of the last lines, 1 to 10000. Default: 100.' } },
  },
} as const satisfies Record<string, CommandDefinition>;

export const SNAPSHOT_COMMANDS = {
  'snapshot list': { words: 'snapshot list', summary: 'List the snapshots.', roles: [], flags: {} },
  'snapshot show': { words: 'snapshot show', operand: 'SNAPSHOT', summary: 'Show a snapshot, by name or id.', roles: [], flags: {} },
  'snapshot create': {
    words: 'snapshot create',
    operand: 'NAME',
    summary: 'Copy the root disk of a VM as it is now, and wait for the copy. A guest that runs goes on running.',
    roles: [],
    flags: {
      vm: { type: 'string', value: 'NAME', help: 'Of which VM; may be ENVIRONMENT/NAME.' },
      description: { type: 'string', value: 'TEXT', help: 'For people.' },
      labels: { type: 'string', value: 'A,B', help: 'With commas between them.' },
      'no-wait': { type: 'boolean', help: 'Do not wait for it.' },
    },
  },
  'snapshot restore': {
    words: 'snapshot restore',
    operand: 'SNAPSHOT',
    summary: 'Create a VM like the one that a snapshot, by name or id, was taken of, with that disk.',
    roles: [],
    flags: { vm: { type: 'string', value: 'NAME', help: 'How the new VM is called.' } },
  },
  'snapshot image': {
    words: 'snapshot image',
    operand: 'SNAPSHOT',
    summary: 'Make an image of a snapshot, by name or id, that VMs can be made of.',
    roles: [],
    flags: {
      name: { type: 'string', value: 'NAME', help: 'Of the image. Default: that of the snapshot.' },
      labels: { type: 'string', value: 'A,B', help: 'With commas between them.' },
    },
  },
  'snapshot delete': {
    words: 'snapshot delete',
    operand: 'SNAPSHOT',
    summary: 'Delete a snapshot, by name or id, and its image. VMs made of it go on.',
    roles: [],
    flags: {},
  },
} as const satisfies Record<string, CommandDefinition>;
