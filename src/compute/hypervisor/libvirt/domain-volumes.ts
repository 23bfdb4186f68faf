/**
 * Which volumes a domain has: in its definition and, while it runs, in the running machine. Each of the two is looked at
 * and put right by itself, so that a crash at any point leaves nothing that the next call would not see.
 *
 * A volume that the domain boots from belongs to its definition and is only grown here. Only disks whose file is that of
 * a volume in our folder are touched. A running guest is asked to let go of a disk and
 * may take its time; it is gone when libvirt no longer shows it, and only then is the call done. That two running
 * guests never write one file is QEMU's own lock.
 */
import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { VmUuid, VolumeUuid } from '../../../protocol/ids.js';
import type { VolumeSpec } from '../../../protocol/volume.js';
import { ensureVolumeFile, growVolumeFile, isSmaller } from '../../disks/volume-file.js';
import { HypervisorError } from '../hypervisor.js';
import type { DomainForm } from './calls.js';
import type { LibvirtConnection } from './connection.js';
import type { DataFolder } from './data-folder.js';
import { detachedXml, disksIn, freeTarget, volumeXml, type DomainDisk } from './volume-document.js';

const LET_GO_WITHIN_MS = 20_000;
/** A guest that is still booting misses the first request. */
const ASK_AGAIN_MS = 5_000;
const LOOK_EVERY_MS = 200;
const GIB = 2 ** 30;

export class DomainVolumes {
  constructor(
    private readonly connection: LibvirtConnection,
    private readonly data: DataFolder,
    private readonly log: Logger,
  ) {}

  async set(vm: VmUuid, running: boolean, volumes: readonly VolumeSpec[], root?: VolumeSpec): Promise<void> {
    const all = root ? [root, ...volumes] : volumes;
    const live = running ? await this.volumesOf(vm, 'live') : [];
    for (const volume of all) {
      const { uuid, sizeGib } = volume;
      const file = this.data.volumeFile(uuid);
      await ensureVolumeFile(file, volume);
      const disk = live.find((present) => present.file === file);
      if (disk === undefined) await growVolumeFile(file, sizeGib);
      else if (await isSmaller(file, sizeGib)) await this.connection.call('resizeDisk', vm, disk.target, sizeGib * GIB);
    }
    for (const form of running ? (['live', 'config'] as const) : (['config'] as const)) {
      const wanted = new Set(all.map(({ uuid }) => this.data.volumeFile(uuid)));
      for (const disk of await this.volumesOf(vm, form)) if (!wanted.has(disk.file!)) await this.detach(vm, disk, form);
      for (const { uuid } of volumes) await this.attach(vm, uuid, form);
    }
  }

  /** @throws HypervisorError when one of the domains has it. */
  async remove(uuid: VolumeUuid, domains: readonly string[]): Promise<void> {
    const file = this.data.volumeFile(uuid);
    for (const domain of domains)
      for (const form of ['live', 'config'] as const)
        if ((await this.disksOf(domain, form)).some((disk) => disk.file === file))
          throw new HypervisorError('The volume is in use by a virtual machine.', true);
    await rm(file, { force: true });
  }

  private async attach(vm: VmUuid, uuid: VolumeUuid, form: DomainForm): Promise<void> {
    const disks = await this.disksOf(vm, form);
    const file = this.data.volumeFile(uuid);
    if (disks.some((disk) => disk.file === file)) return;
    const target = freeTarget(disks);
    if (target === undefined) throw new HypervisorError('The virtual machine has no room for another volume.', false);
    await this.connection.call('attachDevice', vm, volumeXml({ uuid, file, target }), form);
  }

  private async detach(vm: VmUuid, disk: DomainDisk, form: DomainForm): Promise<void> {
    if (form === 'config') return this.connection.call('detachDevice', vm, detachedXml(disk), form);
    let askedAt = -Infinity;
    for (const deadline = Date.now() + LET_GO_WITHIN_MS; Date.now() < deadline; await delay(LOOK_EVERY_MS)) {
      if (!(await this.volumesOf(vm, form)).some(({ file }) => file === disk.file)) return;
      if (Date.now() - askedAt < ASK_AGAIN_MS) continue;
      askedAt = Date.now();
      await this.askToLetGo(vm, disk);
    }
    throw new HypervisorError(
      'The guest does not let go of the volume. Unmount it there and detach it again, or stop the virtual machine.',
      false,
    );
  }

  private async askToLetGo(vm: VmUuid, disk: DomainDisk): Promise<void> {
    try {
      await this.connection.call('detachDevice', vm, detachedXml(disk), 'live');
    } catch (error) {
      // It may have been asked already, or have gone in this very moment: what counts is what libvirt shows.
      this.log.debug({ vm, target: disk.target, error }, 'the guest could not be asked to let go of a volume');
    }
  }

  private async volumesOf(vm: string, form: DomainForm): Promise<DomainDisk[]> {
    return (await this.disksOf(vm, form)).filter(({ file }) => file !== undefined && this.data.isVolumeFile(file));
  }

  private async disksOf(vm: string, form: DomainForm): Promise<DomainDisk[]> {
    const document = await this.connection.call('domainDocument', vm, form);
    return document === undefined ? [] : disksIn(document);
  }
}
