/** The client commands for volumes, and for VMs that boot from them, against a cloud. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { runCommand } from './support/baton-command.js';
import { startCloud, type Cloud, type Json } from './support/cloud.js';
import { VmClient } from './support/vm-client.js';
import { VolumeClient } from './support/volume-client.js';

let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud({ settings: { BATON_EGRESS_ALLOW: '127.0.0.0/8' } });
}, 60_000);

afterAll(() => cloud.stop());

const volume = async (name: string): Promise<Json> =>
  (await cloud.request('GET', '/v1/core/volumes')).body.volumes.find((one: Json) => one.name === name);

const idOf = async (name: string): Promise<number> => (await volume(name)).id;

const attachmentOf = async (name: string): Promise<number> =>
  (await volume(name)).attachments.find(({ status }: Json) => status !== 'DETACHED').id;

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

  it('give it to a VM and take it back, and delete it', async () => {
    await new VmClient(cloud).active({ name: 'holder' });
    await baton('volume', 'create', 'passed', '--environment', 'demo', '--size', '2');
    expect(await runCommand(cloud, 'volume', 'attach', 'demo/passed', '--vm', 'holder', '--wait')).toEqual({
      status: 0,
      text: expect.stringMatching(/^Attach.+\. In the guest: \/dev\/disk\/by-id\/virtio-.+\nIt is in-use\.\n$/),
    });
    await expect(baton('volume', 'delete', 'passed')).rejects.toThrow('in-use');
    expect(await runCommand(cloud, 'volume', 'detach', 'passed', '--wait')).toEqual({ status: 0, text: expect.stringMatching(/\nIt is available\.\n$/) });
    expect(await baton('volume', 'attach', 'passed', '--vm', 'holder', '--protected')).toContain('In the guest');
    await new VolumeClient(cloud).reaches(await idOf('passed'), 'in-use');
    await expect(baton('volume', 'detach', 'passed')).rejects.toThrow('protected');
    await cloud.request('PATCH', `/v1/core/volume-attachments/${await attachmentOf('passed')}`, { protected: false });
    await baton('volume', 'detach', 'passed', '--wait');
    expect(await runCommand(cloud, 'volume', 'delete', 'passed', '--wait')).toEqual({ status: 0, text: expect.stringMatching(/\nIt is gone\.\n$/) });
  });

  it('say what is wrong', async () => {
    await expect(baton('volume', 'create', 'x', '--size', '2')).rejects.toThrow('Say in which --environment.');
    await expect(baton('volume', 'grow', 'nowhere', '--size', '2')).rejects.toThrow("There is no volume 'nowhere'.");
    await expect(baton('volume', 'grow', 'data', '--size', '1')).rejects.toThrow('can only grow');
    await expect(baton('volume', 'attach', 'data')).rejects.toThrow('Say to which --vm.');
    await expect(baton('volume', 'attach', 'data', '--vm', 'nobody')).rejects.toThrow("There is no virtual machine 'nobody'.");
    await expect(baton('volume', 'detach', 'data')).rejects.toThrow("No VM has the volume 'data'.");
    await expect(baton('volume', 'delete', 'nowhere')).rejects.toThrow("There is no volume 'nowhere'.");
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
