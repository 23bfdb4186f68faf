import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { AUTO_RECOVER_MARK } from './data-folder.js';
import { fenceLibvirtGuests, guestProcesses, unfenceLibvirtGuests } from './libvirt-fence.js';

describe('fencing real guests', () => {
  let folder: string;
  let guests: ChildProcess[];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'baton-fence-'));
    await mkdir(join(folder, 'instances'));
    guests = [];
  });

  afterEach(async () => {
    for (const guest of guests) guest.kill('SIGKILL');
    await rm(folder, { recursive: true });
  });

  async function instance(uuid: string, { autoRecover }: { autoRecover: boolean }, incarnation = 1): Promise<string> {
    const name = `${uuid}.${incarnation}`;
    await mkdir(join(folder, 'instances', name));
    await writeFile(join(folder, 'instances', name, 'disk.qcow2'), name);
    if (autoRecover) await writeFile(join(folder, 'instances', name, AUTO_RECOVER_MARK), '');
    return name;
  }

  /** A process that looks like the VM's QEMU. */
  async function guest(uuid: string): Promise<ChildProcess> {
    const shell = spawn('/bin/sh', ['-c', 'while :; do sleep 1; done', '-uuid', uuid], { argv0: 'qemu-system-x86_64', stdio: 'ignore' });
    await once(shell, 'spawn');
    guests.push(shell);
    return shell;
  }

  const instances = (): Promise<string[]> => readdir(join(folder, 'instances')).then((names) => names.sort());

  it('takes the disks of marked ones away, kills their QEMU, and leaves all others alone', async () => {
    const [marked, other] = [randomUUID(), randomUUID()];
    const names = [await instance(marked, { autoRecover: true }), await instance(other, { autoRecover: false })];
    const [doomed, spared] = [await guest(marked), await guest(other)];
    const ended = once(doomed, 'exit');
    await fenceLibvirtGuests(folder);
    expect(await ended).toEqual([null, 'SIGKILL']);
    expect(await guestProcesses(new Set([marked, other]))).toEqual([spared.pid]);
    expect(await instances()).toEqual([`${names[0]}.fenced`, names[1]].sort());
  });

  it('may be repeated, and kills what was started in between', async () => {
    const uuid = randomUUID();
    await instance(uuid, { autoRecover: true });
    await fenceLibvirtGuests(folder);
    const late = await guest(uuid);
    const ended = once(late, 'exit');
    await fenceLibvirtGuests(folder);
    await ended;
    expect(await guestProcesses(new Set([uuid]))).toEqual([]);
  });

  it('keeps the disk that was there, not one that was made beside it meanwhile', async () => {
    const uuid = randomUUID();
    const name = await instance(uuid, { autoRecover: true });
    await writeFile(join(folder, 'instances', name, 'of-the-guest'), '');
    await fenceLibvirtGuests(folder);
    await instance(uuid, { autoRecover: true });
    await fenceLibvirtGuests(folder);
    await unfenceLibvirtGuests(folder);
    expect(await instances()).toEqual([name]);
    expect(await readdir(join(folder, 'instances', name))).toContain('of-the-guest');
  });
});
