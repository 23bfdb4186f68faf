import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { chmod, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { openKvmDevice, type KvmHost } from './kvm-device.js';

const KVM_GROUP = 4711;

/** Owners can be changed by root alone. */
const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip;

describeAsRoot('the KVM device of a host', () => {
  let folder: string;
  let host: KvmHost;
  const warn = jest.fn();
  const log = { warn } as unknown as Logger;
  const owner = async () => {
    const { uid, gid, mode } = await stat(host.device);
    return { uid, gid, mode: mode & 0o777 };
  };

  beforeEach(async () => {
    warn.mockClear();
    folder = await mkdtemp(join(tmpdir(), 'baton-kvm-device-'));
    host = {
      device: join(folder, 'kvm'),
      udev: join(folder, 'udev'),
      groups: join(folder, 'group'),
      user: async () => ({ name: 'libvirt-qemu', uid: 64055, gids: [KVM_GROUP] }),
    };
    await writeFile(host.device, '', { mode: 0o600 });
    await writeFile(host.groups, `kvm:x:${KVM_GROUP}:\n`);
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('stays as udev made it', async () => {
    await chmod(host.device, 0o660);
    await openKvmDevice(log, host);
    expect(await owner()).toEqual({ uid: 0, gid: 0, mode: 0o660 });
    expect(warn).not.toHaveBeenCalled();
  });

  it('is left to udev where udev runs', async () => {
    await writeFile(host.udev, '');
    await openKvmDevice(log, host);
    expect(await owner()).toEqual({ uid: 0, gid: 0, mode: 0o600 });
    expect(warn).not.toHaveBeenCalled();
  });

  it('is not given to a group that does not exist, and the log says what that costs', async () => {
    await writeFile(host.groups, `root:x:0:\n`);
    await openKvmDevice(log, host);
    expect(await owner()).toEqual({ uid: 0, gid: 0, mode: 0o600 });
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('guests start slowly'));
  });

  it('is not given to a group that QEMU is not in', async () => {
    await openKvmDevice(log, { ...host, user: async () => ({ name: 'qemu', uid: 107, gids: [107] }) });
    expect(await owner()).toEqual({ uid: 0, gid: 0, mode: 0o600 });
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('guests start slowly'));
  });

  it('is no concern where there is none', async () => {
    await rm(host.device);
    await openKvmDevice(log, host);
    expect(warn).not.toHaveBeenCalled();
  });

  it('is given to the group of QEMU where nobody has done so, and the log says so', async () => {
    await openKvmDevice(log, host);
    expect(await owner()).toEqual({ uid: 0, gid: KVM_GROUP, mode: 0o660 });
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('mode 0660'));
  });
});
