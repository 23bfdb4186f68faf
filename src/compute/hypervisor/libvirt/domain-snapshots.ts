/**
 * Copies of root disks: of a guest that runs by QEMU's backup job, of one that is off by qemu-img.
 *
 * Neither changes the chain of the disk: a backup job writes what the disk was at its beginning into a file beside it,
 * so there is nothing to be merged back, and no command of ours ever opens a base image for writing. A worker that dies
 * leaves a partial copy and perhaps a job that goes on: the next one drops both and begins anew. Jobs of others, which
 * write elsewhere, are left alone.
 *
 * Excluded race: a copy is not removed while this process makes it. That one VM has one copy made at a time is the
 * caller's promise.
 */
import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { SnapshotUuid, VmUuid } from '../../../protocol/ids.js';
import type { InventoryItem } from '../../../protocol/node.js';
import { bytesHeld, COPY_WITHIN_MS, copyDisk, finishCopy, partialOf, removeCopy } from '../../disks/snapshot-file.js';
import { HypervisorError } from '../hypervisor.js';
import { backupXml, filesWritten } from './backup-document.js';
import { LibvirtCallError, type DomainForm } from './calls.js';
import type { LibvirtConnection } from './connection.js';
import type { DataFolder } from './data-folder.js';
import { qemuUser } from './qemu-user.js';
import { disksIn, ROOT_TARGET, type DomainDisk } from './volume-document.js';

const LOOK_EVERY_MS = 250;
const ABORT_WITHIN_MS = 30_000;

type RootDisk = DomainDisk & { readonly file: string };

export class DomainSnapshots {
  private readonly inHand = new Set<SnapshotUuid>();

  constructor(
    private readonly connection: LibvirtConnection,
    private readonly data: DataFolder,
    private readonly log: Logger,
  ) {}

  async take(uuid: SnapshotUuid, vm: VmUuid, state: InventoryItem['state']): Promise<{ sizeBytes: number }> {
    const file = this.data.snapshotFile(uuid);
    const present = await bytesHeld(file);
    if (present !== undefined) return { sizeBytes: present };
    if (state === 'hibernated') throw new HypervisorError('The virtual machine is hibernated. Restore it first.', false);
    this.inHand.add(uuid);
    const partial = partialOf(file);
    try {
      await this.dropLeftJob(vm);
      await rm(partial, { force: true });
      const [root, ...others] = await this.disksOf(vm, state === 'running' ? 'live' : 'config');
      if (state === 'running') await this.backUp(vm, backupXml(root, others, partial));
      else await copyDisk(root, partial);
      await finishCopy(partial, file, (await qemuUser())?.gids[0]);
      this.log.info({ vm, snapshot: uuid }, 'took a snapshot');
      return { sizeBytes: (await bytesHeld(file)) ?? 0 };
    } catch (error) {
      await rm(partial, { force: true });
      throw error;
    } finally {
      this.inHand.delete(uuid);
    }
  }

  /** @throws HypervisorError while it is being taken. */
  async remove(uuid: SnapshotUuid): Promise<void> {
    if (this.inHand.has(uuid)) throw new HypervisorError('The snapshot is still being taken.', true);
    await removeCopy(this.data.snapshotFile(uuid));
  }

  /** The root disk first. */
  private async disksOf(vm: VmUuid, form: DomainForm): Promise<[RootDisk, ...DomainDisk[]]> {
    const disks = disksIn((await this.connection.call('domainDocument', vm, form)) ?? '<domain/>');
    const root = disks.find(({ target }) => target === ROOT_TARGET);
    if (root?.file === undefined) throw new HypervisorError('The virtual machine has no disk that could be copied.', false);
    return [{ ...root, file: root.file }, ...disks.filter((disk) => disk !== root)];
  }

  private async backUp(vm: VmUuid, document: string): Promise<void> {
    await this.connection.call('beginBackup', vm, document);
    const ended = await this.ended(vm, COPY_WITHIN_MS);
    if (!ended) {
      await this.connection.call('abortJob', vm);
      throw new HypervisorError(`The disk could not be copied within ${COPY_WITHIN_MS / 60_000} minutes.`, false);
    }
    const outcome = await this.connection.call('lastJob', vm).catch((error: unknown) => {
      // Nothing is told of the jobs of a domain that is off.
      if (error instanceof LibvirtCallError) return 'unknown';
      throw error;
    });
    if (outcome !== 'completed')
      throw new HypervisorError('The disk could not be copied: the copying ended early. Was the guest switched off?', true);
  }

  /** What a worker before this one began, and nobody waits for any more. */
  private async dropLeftJob(vm: VmUuid): Promise<void> {
    const document = await this.connection.call('backupDocument', vm);
    if (document === undefined) return;
    const files = filesWritten(document);
    if (files.length === 0 || !files.every((file) => this.data.isSnapshotFile(file)))
      throw new HypervisorError('Somebody is making a backup of the virtual machine on its node. Try again when it is over.', true);
    this.log.info({ vm }, 'ending the copying of a disk that a former worker began');
    await this.connection.call('abortJob', vm);
    if (!(await this.ended(vm, ABORT_WITHIN_MS)))
      throw new HypervisorError('The copying of the disk that was begun before does not end.', true);
  }

  /** @returns whether no job is left before the time is over. */
  private async ended(vm: VmUuid, withinMs: number): Promise<boolean> {
    for (const deadline = Date.now() + withinMs; Date.now() < deadline; await delay(LOOK_EVERY_MS))
      if ((await this.connection.call('backupDocument', vm)) === undefined) return true;
    return false;
  }
}
