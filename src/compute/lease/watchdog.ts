/**
 * The watchdog: entry file of a small process of its own, beside the worker and not its victim. When the lease in the
 * state folder has run out, it makes the guests that may be started elsewhere unable to run, and kills those that do,
 * again and again until the lease is held anew. It needs neither the worker nor libvirt for that.
 *
 * It outlives its worker, so that a killed worker's guests end with the lease too. It ends by itself when another
 * watchdog is named in the lease, when the lease's file is gone, and when everything is fenced and no worker lives that
 * could start anything.
 *
 * Arguments: state folder, hypervisor, its own name.
 */
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fenceLibvirtGuests } from '../hypervisor/libvirt/libvirt-fence.js';
import { fenceSimulatedGuests } from '../hypervisor/simulated/simulated-fence.js';
import { bootClock, fencedFile, readLease } from './lease.js';

const LOOK_MS = 250;

const FENCES: Readonly<Record<string, (stateFolder: string) => Promise<void>>> = {
  libvirt: fenceLibvirtGuests,
  simulated: fenceSimulatedGuests,
};

const [stateFolder, hypervisor, name] = process.argv.slice(2) as [string, string, string];
const fence = FENCES[hypervisor];
if (fence === undefined) throw new Error(`There is no hypervisor '${hypervisor}'.`);

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

spareFromMemoryShortage();
// Whoever asks it to end by a signal means the worker: its guests would go on without anybody's lease.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
// The worker that waits for this may be gone; that is no reason to end.
process.stdout.on('error', () => undefined);
process.stdout.write('ready\n');

for (let lease = await entrusted(); lease?.watchdog === name; lease = readLease(stateFolder)) {
  if (bootClock() >= lease.until) {
    try {
      // First, so that a worker that renews in this very moment learns of it.
      writeFileSync(fencedFile(stateFolder), '');
      await fence(stateFolder);
      if (!isAlive(lease.worker)) break;
    } catch (error) {
      process.stderr.write(`watchdog: ${(error as Error).message}\n`);
    }
  }
  await sleep(LOOK_MS);
}

/** The worker names this watchdog in the lease as soon as it has heard from it. */
async function entrusted() {
  for (let waited = 0; waited < 10_000; waited += LOOK_MS) {
    const lease = readLease(stateFolder);
    if (lease?.watchdog === name) return lease;
    await sleep(LOOK_MS);
  }
  return undefined;
}

/** The kernel kills the largest process first; guests are larger, but this one must be the last. */
function spareFromMemoryShortage(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '-1000');
  } catch {
    // Not root, or not Linux: then it takes its chances.
  }
}
