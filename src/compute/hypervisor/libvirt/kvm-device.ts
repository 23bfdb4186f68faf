/**
 * Lets QEMU's user open /dev/kvm where nothing else does: on a host without udev the kernel leaves it to root alone.
 *
 * That costs more than KVM. libvirt examines QEMU as root, finds KVM, then sees that QEMU's user cannot open it, takes
 * what it had found for outdated and examines QEMU again: seconds for each definition and each start. Only a device
 * that is still as the kernel made it is touched, and only to be what udev makes of it everywhere else.
 */
import { access, chmod, chown, readFile, stat } from 'node:fs/promises';
import type { Logger } from 'pino';
import { qemuUser, type QemuUser } from './qemu-user.js';

const AS_THE_KERNEL_MADE_IT = { uid: 0, gid: 0, mode: 0o600 } as const;
const AS_UDEV_MAKES_IT = { group: 'kvm', mode: 0o660 } as const;

export interface KvmHost {
  readonly device: string;
  /** There while udev runs. */
  readonly udev: string;
  readonly groups: string;
  readonly user: () => Promise<QemuUser | undefined>;
}

const HOST: KvmHost = { device: '/dev/kvm', udev: '/run/udev/control', groups: '/etc/group', user: qemuUser };

export async function openKvmDevice(log: Logger, host: KvmHost = HOST): Promise<void> {
  if (!(await isAsTheKernelMadeIt(host.device)) || (await exists(host.udev))) return;
  const { group, mode } = AS_UDEV_MAKES_IT;
  const gid = await groupId(host.groups, group);
  const user = await host.user();
  if (gid === undefined || (user && !user.gids.includes(gid))) {
    log.warn(`${host.device} is for root alone, and QEMU's user is not in the group '${group}': guests start slowly`);
    return;
  }
  try {
    await chown(host.device, AS_THE_KERNEL_MADE_IT.uid, gid);
    await chmod(host.device, mode);
    log.warn(`${host.device} was for root alone and no udev runs here: given to the group '${group}', mode 0660`);
  } catch (error) {
    log.warn({ err: error }, `${host.device} is for root alone and cannot be changed: guests start slowly`);
  }
}

async function isAsTheKernelMadeIt(device: string): Promise<boolean> {
  const found = await stat(device).catch(() => undefined);
  const { uid, gid, mode } = AS_THE_KERNEL_MADE_IT;
  return found !== undefined && found.uid === uid && found.gid === gid && (found.mode & 0o777) === mode;
}

async function groupId(groups: string, name: string): Promise<number | undefined> {
  const rows = (await readFile(groups, 'utf8')).split('\n').map((line) => line.split(':'));
  const id = rows.find(([group]) => group === name)?.[2];
  return id === undefined ? undefined : Number(id);
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
