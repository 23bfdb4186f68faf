/**
 * The table of changes that somebody makes beside Baton, with virsh, on real libvirt (P8): each is healed or shown within
 * a minute. The guest's disk counts its boots, so that it can be seen from outside on which disk it runs.
 */
import 'reflect-metadata';
import { execFile } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../../src/conductor/admin/fsck.js';
import { listDrift, type ListedDrift } from '../../src/conductor/drift/drift-list.js';
import type { InstanceFields } from '../../src/conductor/virtual-machines/vm.responses.js';
import { eventually } from '../support/eventually.js';
import { BOOT_MS, bootsOf, PORT_80, RealCloud } from './real-cloud.js';

const run = promisify(execFile);

/** What is promised. */
const PROMISED_MS = 60_000;

describe('behind the back of Baton', () => {
  let cloud: RealCloud;
  let vm: InstanceFields;

  beforeAll(async () => {
    cloud = await RealCloud.start({ name: 'drift' });
    vm = await cloud.createVm('much-tried', { security_rules: [PORT_80] });
    await reaches('ACTIVE');
    await boots(1);
  }, 300_000);

  afterAll(async () => {
    await cloud?.stop();
  }, 60_000);

  async function reaches(status: string): Promise<void> {
    vm = await cloud.vmReaches(vm.id, status);
  }

  const boots = (count: number): Promise<{ readonly uptime: number }> => bootsOf(vm, count);

  const virsh = async (...args: string[]): Promise<string> => (await run('virsh', ['-c', 'qemu:///system', ...args])).stdout;

  const domainName = (): string => `baton-${vm.uuid}`;

  /** The last drift that was found. */
  const last = async (): Promise<ListedDrift | undefined> => (await listDrift(cloud.database, { all: true })).at(-1);

  const untilOver = (kind: string, outcome: string): Promise<void> =>
    eventually(async () => expect(await last()).toMatchObject({ kind, outcome, endedAt: expect.any(Date) }), PROMISED_MS);

  it('virsh destroy: the guest is started again, on its disk', async () => {
    await virsh('destroy', domainName());
    await untilOver('killed', 'healed');
    expect(await virsh('domstate', domainName())).toContain('running');
    await boots(2);
    await reaches('ACTIVE');
  }, PROMISED_MS + BOOT_MS);

  it('virsh suspend: the guest goes on where it was', async () => {
    const { uptime } = await boots(2);
    await virsh('suspend', domainName());
    await untilOver('paused', 'healed');
    expect(await virsh('domstate', domainName())).toContain('running');
    expect((await boots(2)).uptime).toBeGreaterThan(uptime);
  }, PROMISED_MS + BOOT_MS);

  it('virsh undefine: the domain is made anew on the disk that it had', async () => {
    await virsh('destroy', domainName());
    await virsh('undefine', domainName());
    await untilOver('missing-domain', 'healed');
    await boots(3);
    await reaches('ACTIVE');
  }, PROMISED_MS + BOOT_MS);

  it('virsh start of a VM that shall be off: it is switched off again', async () => {
    await cloud.request('GET', `virtual-machines/${vm.id}/stop`);
    await reaches('SHUTOFF');
    await virsh('start', domainName());
    await untilOver('started', 'healed');
    expect(await virsh('domstate', domainName())).toContain('shut off');
    await cloud.request('GET', `virtual-machines/${vm.id}/start`);
    await reaches('ACTIVE');
  }, PROMISED_MS + 2 * BOOT_MS);

  it('a domain of somebody else: it is shown and left as it is', async () => {
    const name = `not-of-baton-${process.pid}`;
    const document = join(cloud.folder, 'foreign.xml');
    await writeFile(document, `<domain type='qemu'><name>${name}</name><memory unit='MiB'>16</memory><os><type>hvm</type></os></domain>`);
    await virsh('define', document);
    try {
      const before = await virsh('dumpxml', name);
      const shown = async (): Promise<ListedDrift | undefined> =>
        (await listDrift(cloud.database, { all: false })).find(({ domain }) => domain === name);
      await eventually(async () => expect(await shown()).toMatchObject({ kind: 'foreign-domain', outcome: 'shown' }), PROMISED_MS);
      expect(await virsh('dumpxml', name)).toBe(before);
    } finally {
      await virsh('undefine', name);
    }
    await eventually(async () => expect((await listDrift(cloud.database, { all: true })).find(({ domain }) => domain === name)?.outcome).toBe('gone'), PROMISED_MS);
  }, 3 * PROMISED_MS);

  it('a removed disk: it is told of while the guest runs, and never replaced by an empty one', async () => {
    const { stdout } = await run('virsh', ['-c', 'qemu:///system', 'domblklist', domainName()]);
    const disk = /vda\s+(\S+)/.exec(stdout)![1]!;
    await rm(disk);
    await eventually(async () => expect(await last()).toMatchObject({ kind: 'unlinked-disk', outcome: 'shown' }), PROMISED_MS);
    expect(await virsh('domstate', domainName())).toContain('running');

    await virsh('destroy', domainName());
    await eventually(async () => {
      expect(await cloud.shownVm(vm.id)).toMatchObject({ status: 'ERROR', fault: expect.stringContaining('A disk of the virtual machine is missing') });
    }, PROMISED_MS);
    await cloud.request('GET', `virtual-machines/${vm.id}/hard-reboot`);
    await eventually(async () => {
      expect((await cloud.shownVm(vm.id)).fault).toContain('The disk of the virtual machine is missing on its node.');
    }, PROMISED_MS);
    expect(await virsh('domstate', domainName())).toContain('shut off');
  }, 4 * PROMISED_MS);

  it('leaves no trace when the VM is deleted', async () => {
    await cloud.request('DELETE', `virtual-machines/${vm.id}`);
    await eventually(async () => expect(await cloud.node.traces(vm)).toEqual([]), PROMISED_MS);
    await eventually(async () => expect(await fsck(cloud.database)).toEqual([]), PROMISED_MS);
  }, 2 * PROMISED_MS);
});
