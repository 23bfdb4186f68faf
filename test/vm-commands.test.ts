/** The client commands for the life of a VM and for snapshots, against a cloud. */
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { fsck } from '../src/conductor/admin/fsck.js';
import { runCommand, type Printed } from './support/baton-command.js';
import { startCloud, type Cloud, type Json } from './support/cloud.js';
import { VmClient } from './support/vm-client.js';

jest.setTimeout(60_000);

let cloud: Cloud;
let vms: VmClient;

beforeAll(async () => {
  cloud = await startCloud();
  vms = new VmClient(cloud);
});

afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await cloud.stop();
});

const baton = (line: string): Promise<Printed> => runCommand(cloud, ...line.split(' '));

const done = (...lines: string[]): Printed => ({ status: 0, text: lines.map((line) => `${line}\n`).join('') });

describe('the commands for VMs', () => {
  let vm: Json;

  beforeAll(async () => {
    vm = await vms.active({ name: 'web', labels: ['front'] });
  });

  it('list and show it', async () => {
    expect((await baton('vm list')).text).toMatch(new RegExp(`${vm.id} +demo/web +ACTIVE +tiny-1 +tiny +${vm.fixed_ip} +-\\n`));
    expect((await baton('vm list --environment nowhere')).text).not.toContain('web');
    const { text } = await baton('vm show demo/web');
    for (const line of [/status +ACTIVE\n/, /flavor +tiny-1: 1 vCPU, 0.25 GB memory, 1 GB disk\n/, /labels +front\n/, /can now +.*stop/]) expect(text).toMatch(line);
    expect(text).not.toMatch(/^fault/m);
  });

  it('stop and start it, reboot it, hibernate and restore it, and give it another flavor', async () => {
    expect(await baton('vm stop web --wait')).toEqual(done('Stopping VM web.', 'It is SHUTOFF.'));
    expect(await baton('vm start web --wait')).toEqual(done('Starting VM web.', 'It is ACTIVE.'));
    expect(await baton('vm reboot web --wait')).toEqual(done('Rebooting VM web.', 'It is ACTIVE.'));
    expect(await baton('vm hibernate web --retain-ip --wait')).toEqual(done('Hibernating VM web.', 'It is HIBERNATED.'));
    expect(await baton('vm restore web --wait')).toEqual(done('Restoring VM web.', 'It is ACTIVE.'));
    expect(await baton('vm resize web --flavor small-1 --wait')).toEqual(done('Resizing VM web.', 'It is ACTIVE.'));
    expect((await baton('vm list')).text).toContain('small-1');
  });

  it('do not wait where nobody asked them to', async () => {
    expect(await baton('vm reboot web')).toEqual(done('Rebooting VM web.'));
    await vms.reaches(vm.id, 'ACTIVE');
  });

  it('exit with 1 and the reason when what was waited for fails', async () => {
    cloud.nodes[0]!.hypervisor.misbehaviours = { stop: { kind: 'failing' } };
    const { text, status } = await baton('vm stop web --wait');
    cloud.nodes[0]!.hypervisor.misbehaviours = {};
    expect(text).toContain('told to fail');
    expect(status).toBe(1);
  });

  it('print the end of its console', async () => {
    const { id } = await vms.active({ name: 'talker' });
    expect(await baton('vm logs talker --lines 1')).toEqual({ status: 0, text: 'talker login: \r\n' });
    await vms.delete(`/${id}`);
  });

  it('say what is wrong', async () => {
    await expect(baton('vm show nothing')).rejects.toThrow("There is no virtual machine 'nothing'.");
    await expect(baton('vm resize web')).rejects.toThrow('Say which --flavor.');
    await expect(baton('vm restore web')).rejects.toThrow(/^web is /);
    await expect(baton('vm logs web --lines 0')).rejects.toThrow('--lines must be a whole number from 1 to 10000.');
  });

  it('delete it', async () => {
    expect(await baton('vm delete web --wait')).toEqual(done('Deleting VM web.', 'It is gone.'));
  });
});

describe('the commands for snapshots', () => {
  it('take one, show it, make a VM and an image of it, and delete it', async () => {
    await vms.active({ name: 'model' });
    const taken = await baton('snapshot create first --vm model --description golden --labels nightly,kept');
    expect(taken).toMatchObject({ status: 0, text: expect.stringMatching(/^Snapshot \d+ is being taken.\nIt is SUCCESS and takes \d+ MiB.\n$/) });
    expect((await baton('snapshot list')).text).toMatch(/\d+ +first +SUCCESS +model +1 +\d+ +-/);
    const restored = await baton('snapshot restore first --vm copy');
    await vms.reaches(Number(/^VM (\d+) 'copy' is CREATING/.exec(restored.text)![1]), 'ACTIVE');
    expect((await baton('snapshot image first --name cast')).text).toMatch(/^Image \d+ 'cast' is made of it.\n$/);
    const { text } = await baton('snapshot show first');
    for (const line of [/of VM +demo\/model, ACTIVE\n/, /image +cast\n/, /labels +nightly,kept\n/, /description +golden\n/]) expect(text).toMatch(line);
    expect((await baton('snapshot delete first')).text).toMatch(/^Snapshot \d+ 'first' is being deleted.\n$/);
  });

  it('exit with 1 and the reason when it could not be taken', async () => {
    await vms.active({ name: 'unlucky' });
    cloud.nodes[0]!.hypervisor.misbehaviours = { takeSnapshot: { kind: 'failing' } };
    const { text, status } = await baton('snapshot create second --vm unlucky');
    cloud.nodes[0]!.hypervisor.misbehaviours = {};
    expect(text).toContain('It failed: ');
    expect(status).toBe(1);
  });

  it('say what is wrong', async () => {
    await expect(baton('snapshot create third')).rejects.toThrow('Say of which --vm.');
    await expect(baton('snapshot restore nothing --vm copy')).rejects.toThrow("There is no snapshot 'nothing'.");
    await expect(baton('snapshot restore second')).rejects.toThrow('Say by --vm how the new virtual machine is called.');
    await expect(baton('snapshot restore second --vm early')).rejects.toThrow('is ERROR; it can be restored when it is SUCCESS');
  });
});
