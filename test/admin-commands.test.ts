/** What operators list and ask for by the command line, against the database of a cloud. */
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { run as deadLetters } from '../src/cli/commands/admin-dead-letters.js';
import { run as nodes } from '../src/cli/commands/admin-nodes.js';
import { run as tasks } from '../src/cli/commands/admin-tasks.js';
import type { Run } from '../src/cli/commands/command.js';
import { parseCommandLine } from '../src/cli/command-line.js';
import { startCloud, type Cloud } from './support/cloud.js';
import { VmClient } from './support/vm-client.js';

const COMMANDS: Readonly<Record<string, Run>> = { 'admin nodes': nodes, 'admin tasks': tasks, 'admin dead-letters': deadLetters };

let cloud: Cloud;
let vms: VmClient;

beforeAll(async () => {
  cloud = await startCloud({});
  vms = new VmClient(cloud);
}, 60_000);
afterAll(() => cloud.stop());

/** @returns what the command prints. */
async function baton(...args: string[]): Promise<string> {
  const { command, flags } = parseCommandLine(args);
  const printed: string[] = [];
  const write = jest.spyOn(process.stdout, 'write').mockImplementation((text) => printed.push(String(text)) > 0);
  try {
    await COMMANDS[command]!({ flags, environment: { DATABASE_URL: cloud.databaseUrl } });
  } finally {
    write.mockRestore();
  }
  return printed.join('');
}

describe('the commands of operators', () => {
  it('list the nodes', async () => expect(await baton('admin', 'nodes')).toContain(cloud.nodes[0]!.name));

  it('list what is under way, until it is done', async () => {
    const { hypervisor } = cloud.nodes[0]!;
    hypervisor.misbehaviours = { start: { kind: 'slow', ms: 500 } };
    const { body } = await vms.post({ name: 'slow-one' });
    expect(await baton('admin', 'tasks')).toMatch(/(pending|published) .*slow-one +running/);
    await vms.reaches(body.instances[0].id, 'ACTIVE');
    expect(await baton('admin', 'tasks')).not.toContain('slow-one');
    hypervisor.misbehaviours = {};
  });

  it('list what died, and ask for it once more', async () => {
    const { hypervisor } = cloud.nodes[0]!;
    hypervisor.misbehaviours = { start: { kind: 'broken' } };
    const { body } = await vms.post({ name: 'broken-one' });
    await vms.reaches(body.instances[0].id, 'ERROR');
    const listed = await baton('admin', 'dead-letters');
    expect(listed).toContain('broken-one');
    hypervisor.misbehaviours = {};

    const [task] = /^[0-9a-f-]{36}(?=.*broken-one)/m.exec(listed)!;
    expect(await baton('admin', 'dead-letters', '--replay', task)).toContain('once more');
    await vms.reaches(body.instances[0].id, 'ACTIVE');
    await expect(baton('admin', 'dead-letters', '--replay', task)).rejects.toThrow('no dead task of this id');
    await expect(baton('admin', 'dead-letters', '--replay', 'x')).rejects.toThrow('takes the id of a task');
  });
});
