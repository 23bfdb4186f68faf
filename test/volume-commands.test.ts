/** The client commands for volumes, and for VMs that boot from them, against a cloud. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { runCommand } from './support/baton-command.js';
import { startCloud, type Cloud } from './support/cloud.js';
import { VmClient } from './support/vm-client.js';
import { VolumeClient } from './support/volume-client.js';

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ settings: { BATON_EGRESS_ALLOW: '127.0.0.0/8' } });
}, 60_000);

afterAll(() => cloud.stop());

const baton = async (...args: string[]): Promise<string> => (await runCommand(cloud, ...args)).text;

describe('the commands for volumes', () => {
  it('create one, make it larger, say where it tells of its changes, and list it', async () => {
    expect(await baton('volume', 'create', 'data', '--environment', 'demo', '--size', '2')).toMatch(/^Volume \d+ is available\.\n$/);
    expect(await baton('volume', 'grow', 'data', '--size', '5')).toBe('Volume data has 5 GiB.\n');
    for (const path of ['a', 'b'])
      expect(await baton('volume', 'callback', 'demo/data', '--url', `http://127.0.0.1:9/${path}`)).toContain('allback');
    expect(await baton('volume', 'callback', 'data', '--remove')).toBe('Callback of volume data deleted.\n');
    expect(await baton('volume', 'list')).toMatch(/\d+ +demo\/data +available +5 +- +-\n/);
  });

  it('say what is wrong', async () => {
    await expect(baton('volume', 'create', 'x', '--size', '2')).rejects.toThrow('Say in which --environment.');
    await expect(baton('volume', 'grow', 'nowhere', '--size', '2')).rejects.toThrow("There is no volume 'nowhere'.");
    await expect(baton('volume', 'grow', 'data', '--size', '1')).rejects.toThrow('can only grow');
    await expect(baton('volume', 'callback', 'data')).rejects.toThrow('Say either --url or --remove.');
  });
});

describe('the command that creates VMs', () => {
  it('makes one of a size made to measure with a bootable volume, and another one that boots from it', async () => {
    const measures = ['--cpu', '1', '--ram', '0.5', '--disk', '2'];
    const printed = await baton('vm', 'create', 'first', '--environment', 'demo', '--key', 'demo', '--image', 'tiny', '--bootable-volume', ...measures);
    const id = Number(/(\d+) +first +CREATING/.exec(printed)![1]);
    const vms = new VmClient(cloud);
    const vm = await vms.reaches(id, 'ACTIVE');
    expect(vm.flavor).toMatchObject({ cpu: 1, ram: 0.5, disk: 2 });
    const { volume } = vm.volume_attachments[0];
    await vms.delete(`/${id}`);
    await vms.gone(id);
    await new VolumeClient(cloud).reaches(volume.id, 'available');
    const again = await baton('vm', 'create', 'second', '--environment', 'demo', '--key', 'demo', '--flavor', 'tiny-1', '--volume', volume.name);
    await vms.reaches(Number(/(\d+) +second/.exec(again)![1]), 'ACTIVE');
    await expect(baton('vm', 'create', 'x', '--environment', 'demo', '--flavor', 'tiny-1')).rejects.toThrow('Say which --key.');
  });
});
