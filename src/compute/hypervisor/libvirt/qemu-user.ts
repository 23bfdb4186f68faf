/** The user of the host that QEMU runs as, with its groups; undefined where the distribution has none of its own. */
import { readFile } from 'node:fs/promises';

export interface QemuUser {
  readonly name: string;
  readonly uid: number;
  readonly gids: readonly number[];
}

/** On Debian and Ubuntu, on Red Hat and SUSE. */
const NAMES = ['libvirt-qemu', 'qemu'];

export async function qemuUser(): Promise<QemuUser | undefined> {
  const rows = async (path: string) => (await readFile(path, 'utf8')).split('\n').map((line) => line.split(':'));
  const users = await rows('/etc/passwd');
  const user = users.find(([name = '']) => NAMES.includes(name));
  if (!user) return undefined;
  const [name = '', , uid, gid] = user;
  const groups = (await rows('/etc/group')).filter(([, , , members = '']) => members.split(',').includes(name));
  return { name, uid: Number(uid), gids: [Number(gid), ...groups.map(([, , id]) => Number(id))] };
}
