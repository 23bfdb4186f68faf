/**
 * The life of one real guest through the whole product: stopped and started, reset, hibernated and restored, resized.
 * Its disk counts its boots and its uptime goes on or begins anew, so that it can be seen from outside what became of
 * it. Emulated where KVM does not carry guests, so that it runs on any Linux host with root.
 */
import 'reflect-metadata';
import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../../src/conductor/admin/fsck.js';
import type { InstanceFields } from '../../src/conductor/virtual-machines/vm.responses.js';
import { BOOT_MS, bootsOf, PORT_80, RealCloud } from './real-cloud.js';

const run = promisify(execFile);

const GIB = 2 ** 30;

describe('a real guest', () => {
  let cloud: RealCloud;
  let vm: InstanceFields;

  beforeAll(async () => {
    cloud = await RealCloud.start({ name: 'lifecycle' });
    await cloud.database.query(
      `INSERT INTO flavor (region_id, name, cpu, ram_mib, disk, gpu, gpu_count) SELECT id, 'tiny-2', 2, 384, 3, '', 0 FROM region`,
    );
    vm = await cloud.createVm('many-lives', { security_rules: [PORT_80] });
    await reaches('ACTIVE');
    await boots(1);
  }, 300_000);

  afterAll(async () => {
    await cloud?.stop();
  }, 60_000);

  const act = (action: string): Promise<unknown> => cloud.request('GET', `virtual-machines/${vm.id}/${action}`);

  async function reaches(status: string): Promise<void> {
    vm = await cloud.vmReaches(vm.id, status);
  }

  const boots = (count: number): Promise<{ readonly uptime: number }> => bootsOf(vm, count);

  const virsh = async (...args: string[]): Promise<string> => (await run('virsh', ['-c', 'qemu:///system', ...args])).stdout;

  it('boots again after it was stopped and started', async () => {
    await act('stop');
    await reaches('SHUTOFF');
    expect(await virsh('domstate', vm.uuid)).toContain('shut off');
    await act('start');
    await reaches('ACTIVE');
    await boots(2);
  }, 2 * BOOT_MS);

  it('boots anew at a hard reboot', async () => {
    await act('hard-reboot');
    await reaches('ACTIVE');
    const { uptime } = await boots(3);
    expect(uptime).toBeLessThan(60);
  }, 2 * BOOT_MS);

  it('is off while it is hibernated, and then goes on where it was', async () => {
    const before = await boots(3);
    await act('hibernate');
    await reaches('HIBERNATED');
    expect(await virsh('domstate', vm.uuid)).toContain('shut off');
    expect(await virsh('dominfo', vm.uuid)).toMatch(/Managed save:\s+yes/);
    expect(await cloud.database.query('SELECT vcpus_used, memory_mib_used, disk_gib_used FROM compute_node')).toEqual([
      { vcpus_used: 0, memory_mib_used: 0, disk_gib_used: 1 },
    ]);
    expect(await fsck(cloud.database)).toEqual([]);

    await act('hibernate-restore');
    await reaches('ACTIVE');
    const after = await boots(3);
    expect(after.uptime).toBeGreaterThan(before.uptime);
    expect(await virsh('dominfo', vm.uuid)).toMatch(/Managed save:\s+no/);
  }, 2 * BOOT_MS);

  it('is stopped and booted with the processors, memory and disk of its new flavor', async () => {
    await cloud.request('POST', `virtual-machines/${vm.id}/resize`, { flavor_name: 'tiny-2' });
    await reaches('ACTIVE');
    await boots(4);
    const domain = await virsh('dominfo', vm.uuid);
    expect(domain).toMatch(/CPU\(s\):\s+2\n/);
    expect(domain).toMatch(new RegExp(`Max memory:\\s+${384 * 1024} KiB`));
    const [instance] = await readdir(join(cloud.node.stateFolder, 'instances'));
    const disk = join(cloud.node.stateFolder, 'instances', instance!, 'disk.qcow2');
    // The running guest has it locked; reading its header does no harm.
    const { stdout } = await run('qemu-img', ['info', '-U', '-f', 'qcow2', '--output=json', disk]);
    expect(JSON.parse(stdout)['virtual-size']).toBe(3 * GIB);
  }, 2 * BOOT_MS);

  it('leaves nothing when it is deleted while it is hibernated', async () => {
    await act('hibernate');
    await reaches('HIBERNATED');
    const saved = join('/var/lib/libvirt/qemu/save', `baton-${vm.uuid}.save`);
    expect((await run('ls', [saved])).stdout).toContain(vm.uuid);
    await cloud.request('DELETE', `virtual-machines/${vm.id}`);
    await cloud.vmGoes(vm.id);
    expect(await virsh('list', '--all', '--uuid')).not.toContain(vm.uuid);
    await expect(run('ls', [saved])).rejects.toThrow();
    expect(await readdir(join(cloud.node.stateFolder, 'instances'))).toEqual([]);
    expect(await fsck(cloud.database)).toEqual([]);
  }, 2 * BOOT_MS);
});
