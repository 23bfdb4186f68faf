import { describe, expect, it } from '@jest/globals';
import { COMMANDS, integerFlag, parseCommandLine, UsageError, type CommandName } from './command-line.js';
import { commandHelp, generalHelp } from './help.js';

describe('the command line', () => {
  it('is a conductor when nothing is asked for', () => {
    expect(parseCommandLine([])).toMatchObject({ command: 'conductor', explicit: false });
  });

  it('takes the settings of its role as flags', () => {
    const { command, flags } = parseCommandLine(['--compute', '--name', 'node-7', '--region=eu-1']);
    expect(command).toBe('compute');
    expect(flags).toMatchObject({ name: 'node-7', region: 'eu-1' });
  });

  it('refuses the flags of another role', () => {
    expect(() => parseCommandLine(['--compute', '--port', '8080'])).toThrow(/'--port'.*See --help/);
  });

  it.each([
    [['admin', 'join-token', '--uses', '3'], 'admin join-token'],
    [['admin', 'fsck', '--repair'], 'admin fsck'],
    [['admin', 'quota', '--organization', 'demo', '--vms', 'unlimited'], 'admin quota'],
    [['migrate', '--check'], 'migrate'],
    [['admin', 'node', 'drain', 'node-7', '--stop'], 'admin node drain'],
    [['admin', 'nodes'], 'admin nodes'],
    [['--nodes', '2', '--all-in-one'], 'all-in-one'],
  ])('finds the command of %j', (args, command) => {
    expect(parseCommandLine(args).command).toBe(command);
  });

  it('reads what a command is about', () => {
    expect(parseCommandLine(['admin', 'node', 'undrain', 'node-7']).flags).toEqual({ node: 'node-7' });
  });

  it.each([
    [['admin', 'node', 'drain'], /admin node drain needs NODE/],
    [['admin', 'node', 'drain', 'a', 'b'], /no command 'admin node drain a b'/],
    [['frobnicate'], /no command 'frobnicate'/],
    [['admin'], /'admin' needs more: one of fsck, /],
    [['admin', 'tasks', 'now'], /no command 'admin tasks now'/],
    [['--frobnicate'], /'--frobnicate'/],
    [['migrate', '--check', 'now'], /'now'/],
    [['--compute', '--all-in-one'], /either --compute or --all-in-one/],
    [['--port'], /--port/],
  ])('refuses %j in one short sentence', (args, words) => {
    expect(() => parseCommandLine(args)).toThrow(UsageError);
    expect(() => parseCommandLine(args)).toThrow(words);
  });

  it('explains a command also to who does not say what it is about', () => {
    expect(parseCommandLine(['gitops', 'add', '--help'])).toMatchObject({ command: 'gitops add', flags: { help: true } });
    expect(parseCommandLine(['gitops', 'add', 'https://example.org/a', '--help'])).toMatchObject({ command: 'gitops add', flags: { help: true, url: 'https://example.org/a' } });
  });

  it.each(['0', '17', '1.5', 'many', ''])('refuses %j nodes', (nodes) => {
    expect(() => integerFlag({ nodes }, 'nodes', 1, [1, 16])).toThrow('--nodes must be a whole number from 1 to 16.');
  });

  it('explains every command and every flag of it', () => {
    for (const name of Object.keys(COMMANDS) as CommandName[]) {
      expect(generalHelp()).toContain(COMMANDS[name].summary);
      for (const flag of Object.keys(COMMANDS[name].flags)) expect(commandHelp(name)).toContain(`--${flag}`);
    }
  });
});
