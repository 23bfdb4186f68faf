/**
 * What the watchdog does to real guests, without libvirt, which may hang or be asked by a worker that was just thawed:
 * first the folder with the guest's disk is renamed, so that no start can succeed from then on, then QEMU is killed.
 * In this order no guest is missed: whoever has the disk open is a process that is found.
 */
import { readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AUTO_RECOVER_MARK, FENCED_SUFFIX } from './data-folder.js';

const GONE_WITHIN_MS = 10_000;
const LOOK_MS = 50;

/** Nothing that is marked for another node runs any more. May be repeated. @throws when a guest cannot be killed. */
export async function fenceLibvirtGuests(stateFolder: string): Promise<void> {
  const instances = resolve(stateFolder, 'instances');
  for (const entry of await readdir(instances)) if (!entry.endsWith(FENCED_SUFFIX)) await fence(join(instances, entry));
  const fenced = (await readdir(instances)).filter((entry) => entry.endsWith(FENCED_SUFFIX));
  await killGuests(new Set(fenced.map((entry) => entry.split('.')[0]!)));
}

async function fence(folder: string): Promise<void> {
  if (!(await exists(join(folder, AUTO_RECOVER_MARK)))) return;
  const fenced = `${folder}${FENCED_SUFFIX}`;
  // Made anew by a worker that did not know that it was frozen: the disk is in the other one.
  if (await exists(fenced)) await rm(folder, { recursive: true, force: true });
  else await rename(folder, fenced);
}

/** Undoes it for all that are still there. */
export async function unfenceLibvirtGuests(stateFolder: string): Promise<void> {
  const instances = resolve(stateFolder, 'instances');
  for (const entry of await readdir(instances))
    if (entry.endsWith(FENCED_SUFFIX)) await rename(join(instances, entry), join(instances, entry.slice(0, -FENCED_SUFFIX.length)));
}

async function killGuests(vmUuids: ReadonlySet<string>): Promise<void> {
  if (vmUuids.size === 0) return;
  for (let waited = 0; ; waited += LOOK_MS) {
    const guests = await guestProcesses(vmUuids);
    if (guests.length === 0) return;
    if (waited >= GONE_WITHIN_MS) throw new Error(`QEMU does not die: ${guests.join(', ')}`);
    for (const pid of guests)
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It was faster.
      }
    await sleep(LOOK_MS);
  }
}

/** Process ids of the QEMUs that run one of the VMs. */
export async function guestProcesses(vmUuids: ReadonlySet<string>): Promise<number[]> {
  const found = await Promise.all(
    (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry)).map(async (pid) => {
      const args = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
      const position = args.indexOf('-uuid');
      // A process that is dead and not yet buried has no command line any more.
      return position > 0 && vmUuids.has(args[position + 1]!) && /qemu/.test(args[0]!) ? [Number(pid)] : [];
    }),
  );
  return found.flat();
}

const exists = (path: string): Promise<boolean> => stat(path).then(() => true, () => false);
