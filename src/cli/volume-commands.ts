/** The commands about volumes, as parts of the table in `command-line.ts`. */
import type { CommandDefinition, OwnFlag } from './command-line.js';

const WAIT = { type: 'boolean', help: 'Wait until it is done; exit with 1 when it fails.' } as const satisfies OwnFlag;

export const VOLUME_COMMANDS = {
  'volume list': { words: 'volume list', summary: 'List the volumes.', roles: [], flags: {} },
  'volume create': {
    words: 'volume create',
    operand: 'NAME',
    summary: 'Create a volume, empty or of an image.',
    roles: [],
    flags: {
      environment: { type: 'string', value: 'NAME', help: 'Where.' },
      size: { type: 'string', value: 'GIB', help: 'How large.' },
      'image-id': { type: 'string', value: 'ID', help: 'What it is made of, so that VMs can boot from it.' },
      description: { type: 'string', value: 'TEXT', help: 'For people.' },
      callback: { type: 'string', value: 'URL', help: 'Gets one signed POST for each change of status.' },
    },
  },
  'volume attach': {
    words: 'volume attach',
    operand: 'NAME',
    summary: 'Give a VM a volume, and print where its guest finds it. NAME may be ENVIRONMENT/NAME, here and below.',
    roles: [],
    flags: {
      vm: { type: 'string', value: 'NAME', help: 'Which VM; may be ENVIRONMENT/NAME.' },
      protected: { type: 'boolean', help: 'Do not let it be detached.' },
      wait: WAIT,
    },
  },
  'volume detach': { words: 'volume detach', operand: 'NAME', summary: 'Take a volume from the VM that has it.', roles: [], flags: { wait: WAIT } },
  'volume grow': {
    words: 'volume grow',
    operand: 'NAME',
    summary: 'Make a volume larger, also while a VM has it.',
    roles: [],
    flags: { size: { type: 'string', value: 'GIB', help: 'How large it shall be.' } },
  },
  'volume callback': {
    words: 'volume callback',
    operand: 'NAME',
    summary: 'Say where the changes of a volume are told.',
    roles: [],
    flags: {
      url: { type: 'string', value: 'URL', help: 'In place of the one before, where there was one.' },
      remove: { type: 'boolean', help: 'Nowhere any more.' },
    },
  },
  'volume delete': {
    words: 'volume delete',
    operand: 'NAME',
    summary: 'Delete a volume that no VM has, and what is on it.',
    roles: [],
    flags: { wait: WAIT },
  },
} as const satisfies Record<string, CommandDefinition>;
