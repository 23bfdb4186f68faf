/**
 * What must lie on the host before a domain can be defined: images that are fetched once, disks that stand on them, and
 * volumes. Everything may be asked for again; what is there stays as it is.
 */
import { ensureBootFile } from '../../disks/boot-file.js';
import { ensureOverlay } from '../../disks/overlay-disk.js';
import { ensureBase } from '../../disks/snapshot-file.js';
import { ensureVolumeFile, type VolumeContent } from '../../disks/volume-file.js';
import type { ImageCache } from '../../images/image-cache.js';
import { refuseUnfit } from '../../images/image-fitness.js';
import type { ImageSpec, VmSpec } from '../../../protocol/task.js';
import type { VolumePreparation } from '../../../protocol/volume.js';
import { HypervisorError, type DomainIdentity } from '../hypervisor.js';
import type { DataFolder, InstanceFiles } from './data-folder.js';
import type { DomainDescription, RootDisk } from './domain-document.js';

export class GuestFiles {
  constructor(
    private readonly data: DataFolder,
    private readonly images: ImageCache,
  ) {}

  async prepare(identity: DomainIdentity, spec: VmSpec): Promise<Pick<DomainDescription, 'disk' | 'kernel' | 'consoleLog'>> {
    const { image, autoRecover, rootVolume, hasDisk } = spec;
    const root = rootVolume ? this.data.volumeFile(rootVolume.uuid) : this.data.filesOf(identity).disk;
    if (hasDisk && !(await this.data.isThere(root)))
      throw new HypervisorError('The disk of the virtual machine is missing on its node. It was not replaced by an empty one.', false);
    const own = await this.data.makeInstance(identity, { autoRecover: autoRecover === true && !rootVolume });
    const [disk, kernel, initrd] = await Promise.all([
      this.rootDisk(own, spec),
      image.kernel && this.images.ensure(image.kernel),
      image.initrd && this.images.ensure(image.initrd),
    ]);
    if (kernel) await ensureBootFile(kernel, own.kernel);
    if (initrd) await ensureBootFile(initrd, own.initrd);
    return {
      disk,
      kernel: kernel ? { path: own.kernel, initrd: initrd && own.initrd, arguments: image.kernelArguments } : undefined,
      consoleLog: own.consoleLog,
    };
  }

  prepareVolume(volume: VolumePreparation): Promise<void> {
    return ensureVolumeFile(this.data.volumeFile(volume.uuid), volume, () => this.baseOf(volume.image, volume.sizeGib));
  }

  private async rootDisk(own: InstanceFiles, { image, diskGib, rootVolume }: VmSpec): Promise<RootDisk> {
    if (rootVolume) {
      await this.prepareVolume({ ...rootVolume, image });
      return { volume: rootVolume.uuid, file: this.data.volumeFile(rootVolume.uuid) };
    }
    const { base, baseFormat } = await this.baseOf(image, diskGib, own);
    await ensureOverlay({ overlay: own.disk, base, baseFormat, sizeGib: diskGib });
    return { overlay: own.disk, base, baseFormat };
  }

  private async baseOf(image: ImageSpec, diskGib: number, own?: InstanceFiles): Promise<VolumeContent> {
    const base = await this.baseFile(image, own);
    await refuseUnfit(base, image.disk.format, image.name, diskGib);
    return { base, baseFormat: image.disk.format };
  }

  /** A disk that stands on a snapshot has it under a name of its own; a volume is a copy of it. */
  private async baseFile({ disk }: ImageSpec, own: InstanceFiles | undefined): Promise<string> {
    if (!('snapshot' in disk)) return await this.images.ensure(disk);
    const copy = this.data.snapshotFile(disk.snapshot);
    if (own === undefined) return copy;
    await ensureBase(copy, own.base);
    return own.base;
  }
}
