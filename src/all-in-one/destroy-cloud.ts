/** `--fresh`: the cloud that a folder holds is no more: its guests on this host first, then everything it kept. */
import { loadConfig } from '../config/load.js';
import { destroyGuests, MOST_NODES, nodeConfig } from './compute-nodes.js';
import type { EnvironmentEntries } from './environment-file.js';
import { removeContents, type Folders } from './folders.js';
import { releaseHost } from './libvirt-host.js';
import { stopOrphanedPostgres } from './orphaned-postgres.js';
import type { Progress } from './progress.js';

export async function destroyCloud(folders: Folders, was: EnvironmentEntries, progress: Progress): Promise<void> {
  if (was.BATON_HYPERVISOR === 'libvirt') {
    const { ensureLibvirtDaemons } = await import('../compute/hypervisor/libvirt/daemons.js');
    await ensureLibvirtDaemons();
    // Nothing is booted here that would have to be accelerated.
    const config = loadConfig(['compute'], {}, { BATON_HYPERVISOR: 'libvirt', BATON_ACCELERATION: 'tcg' });
    await progress.step('Destroying the virtual machines', async () => {
      const nodes = Math.min(Number(was.BATON_NODES ?? 1), MOST_NODES);
      for (let index = 0; index < nodes; index += 1) await destroyGuests(nodeConfig(config, index, folders.data));
    });
    await releaseHost(folders.home);
  }
  await stopOrphanedPostgres(`${folders.data}/postgres/data`);
  await removeContents(folders);
}
