/** The commands about desired state, as part of the table in `command-line.ts`. */
import type { CommandDefinition, OwnFlag } from './command-line.js';

const SETTINGS = {
  ref: { type: 'string', value: 'NAME', help: 'Branch or tag. Default: main.' },
  path: { type: 'string', value: 'FOLDER', help: 'Where the manifest is in the repository. Default: all of it.' },
  environments: { type: 'string', value: 'A,B', help: 'Environments that it may manage. Default: all.' },
  'token-file': { type: 'string', value: 'FILE', help: 'Holds the token for https. It is not taken from the command line, where others can see it.' },
  'key-file': { type: 'string', value: 'FILE', help: 'Holds the deploy key for ssh.' },
  poll: { type: 'string', value: 'SECONDS', help: 'Between two looks at the branch. Default: 60.' },
  prune: { type: 'boolean', help: 'Delete what is no longer declared.' },
  'prune-limit': { type: 'string', value: 'N', help: 'How many resources one commit may delete or replace. Default: 10.' },
  mode: { type: 'string', value: 'plan|apply', help: 'plan only says what would be done. Default: apply.' },
  drift: { type: 'string', value: 'report|correct', help: 'What is done about changes by hand. Default: correct.' },
  forge: { type: 'string', value: 'github|gitlab|gitea', help: 'Where it is hosted, if the host does not tell: its commits get a status.' },
  'no-commit-status': { type: 'boolean', help: 'Tell the forge nothing of commits.' },
  callback: { type: 'string', value: 'URL', help: 'Gets a signed POST when a sync starts, succeeds or fails, and when drift is found.' },
  role: { type: 'string', value: 'NAME', help: 'Of its service account. Default: GitOps.' },
} as const satisfies Record<string, OwnFlag>;

const WAIT: OwnFlag = { type: 'boolean', help: 'Do not wait until it is done.' };

export const GITOPS_COMMANDS = {
  apply: {
    words: 'apply',
    summary: 'Make the cloud what the files of a folder say, without Git.',
    roles: [],
    flags: {
      folder: { type: 'string', short: 'f', value: 'DIR', help: 'The manifest: .yaml and .yml files, and what they refer to.' },
      'dry-run': { type: 'boolean', help: 'Only say what would be done.' },
      name: { type: 'string', value: 'NAME', help: 'What is applied under one name replaces what was before. Default: applied.' },
      prune: SETTINGS.prune,
      'prune-limit': SETTINGS['prune-limit'],
      environments: SETTINGS.environments,
      role: SETTINGS.role,
      'no-wait': WAIT,
    },
  },
  'gitops add': {
    words: 'gitops add',
    operand: 'URL',
    summary: 'Make the cloud what a Git repository says, from now on.',
    roles: [],
    flags: { name: { type: 'string', value: 'NAME', help: 'Default: the last part of the URL.' }, ...SETTINGS },
  },
  'gitops set': {
    words: 'gitops set',
    operand: 'NAME',
    summary: 'Change the settings of a repository. What is left out stays as it is.',
    roles: [],
    flags: {
      url: { type: 'string', value: 'URL', help: 'Of the same repository somewhere else; on another server with its token or key.' },
      ...SETTINGS,
      'no-prune': { type: 'boolean', help: 'Delete nothing.' },
      'commit-status': { type: 'boolean', help: 'Tell the forge what becomes of commits.' },
    },
  },
  'gitops list': { words: 'gitops list', summary: 'List the Git repositories.', roles: [], flags: {} },
  'gitops show': { words: 'gitops show', operand: 'NAME', summary: 'Show a repository, its last sync and what it owns.', roles: [], flags: {} },
  'gitops plan': {
    words: 'gitops plan',
    operand: 'NAME',
    summary: 'Say what would be done; exit with 1 when a document is wrong.',
    roles: [],
    flags: { ref: { type: 'string', value: 'NAME', help: 'Another branch, tag or commit.' } },
  },
  'gitops diff': {
    words: 'gitops diff',
    operand: 'NAME',
    summary: 'Show field by field what is different from what Git says; exit with 1 when something is.',
    roles: [],
    flags: { ref: { type: 'string', value: 'NAME', help: 'Another branch, tag or commit.' } },
  },
  'gitops sync': {
    words: 'gitops sync',
    operand: 'NAME',
    summary: 'Look at the branch now, and make the cloud what it says.',
    roles: [],
    flags: { 'no-wait': WAIT },
  },
  'gitops pause': { words: 'gitops pause', operand: 'NAME', summary: 'Change nothing until it is resumed.', roles: [], flags: {} },
  'gitops resume': { words: 'gitops resume', operand: 'NAME', summary: 'Follow the branch again, also after a rollback.', roles: [], flags: {} },
  'gitops rollback': {
    words: 'gitops rollback',
    operand: 'NAME',
    summary: 'Make the cloud what an earlier commit says, and stay there until resumed.',
    roles: [],
    flags: { commit: { type: 'string', value: 'COMMIT', help: 'At least seven of its digits.' }, 'no-wait': WAIT },
  },
  'gitops remove': { words: 'gitops remove', operand: 'NAME', summary: 'Forget a repository. What it made stays.', roles: [], flags: {} },
} as const satisfies Record<string, CommandDefinition>;
