/**
 * The worker's folder on the host: base images, volumes, snapshots, and one folder for each incarnation with its disk and console
 * log.
 *
 * QEMU runs as a user of its own and must be able to walk down to it; that is checked before the first VM fails on
 * it. An incarnation's folder bears its number, so that the late removal of a former life cannot take the disk of the
 * present one.
 */
import { mkdir, readdir, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { backingFileOf } from '../../../image-format/backing-file.js';
import type { SnapshotUuid, VolumeUuid } from '../../../protocol/ids.js';
import { HypervisorError, type DomainIdentity } from '../hypervisor.js';
import { qemuUser } from './qemu-user.js';

const BLOCK_BYTES = 512;
const SNAPSHOT_SUFFIX = '.qcow2';

/** A file in the folder of an instance that may be started elsewhere; the watchdog looks for it. */
export const AUTO_RECOVER_MARK = 'auto-recover';
/** Of the folder of an instance that must not be started: no domain finds its disk there. */
export const FENCED_SUFFIX = '.fenced';

export interface InstanceFiles {
  readonly folder: string;
  readonly disk: string;
  /** What the disk starts from, where that is no image of the cache but a snapshot: a name of the same file. */
  readonly base: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly consoleLog: string;
}

export class DataFolder {
  readonly path: string;
  readonly images: string;
  private readonly instances: string;
  private readonly volumes: string;
  private readonly snapshots: string;

  constructor(path: string) {
    this.path = resolve(path);
    this.images = join(this.path, 'images');
    this.instances = join(this.path, 'instances');
    this.volumes = join(this.path, 'volumes');
    this.snapshots = join(this.path, 'snapshots');
  }

  /** @throws HypervisorError when QEMU could not reach what is in it. */
  async open(): Promise<void> {
    await mkdir(this.instances, { recursive: true, mode: 0o755 });
    await mkdir(this.images, { recursive: true, mode: 0o755 });
    await mkdir(this.volumes, { recursive: true, mode: 0o711 });
    await mkdir(this.snapshots, { recursive: true, mode: 0o711 });
    // What a worker before this one left half made; where QEMU still writes it, it is begun anew.
    for (const name of await readdir(this.snapshots))
      if (!name.endsWith(SNAPSHOT_SUFFIX)) await rm(join(this.snapshots, name), { force: true });
    await this.checkReachable();
  }

  filesOf({ vmUuid, incarnationId }: DomainIdentity): InstanceFiles {
    const folder = join(this.instances, `${vmUuid}.${incarnationId}`);
    return {
      folder,
      disk: join(folder, 'disk.qcow2'),
      base: join(folder, 'base.qcow2'),
      kernel: join(folder, 'vmlinuz'),
      initrd: join(folder, 'initrd.img'),
      consoleLog: join(folder, 'console.log'),
    };
  }

  /** @throws HypervisorError while it is fenced: a second disk must not be made beside the first. */
  async makeInstance(identity: DomainIdentity, { autoRecover = false }: { autoRecover?: boolean | undefined } = {}): Promise<InstanceFiles> {
    const files = this.filesOf(identity);
    if (await stat(`${files.folder}${FENCED_SUFFIX}`).catch(() => undefined))
      throw new HypervisorError('The virtual machine is locked until its node has its lease again.', true);
    await mkdir(files.folder, { recursive: true, mode: 0o711 });
    if (autoRecover) await writeFile(join(files.folder, AUTO_RECOVER_MARK), '');
    return files;
  }

  async removeInstance(identity: DomainIdentity): Promise<void> {
    const { folder } = this.filesOf(identity);
    for (const path of [folder, `${folder}${FENCED_SUFFIX}`]) await rm(path, { recursive: true, force: true });
  }

  /** A file in the folder of an instance, or of a volume. What is in a folder that is fenced counts as there. */
  async isThere(path: string): Promise<boolean> {
    const fenced = join(`${dirname(path)}${FENCED_SUFFIX}`, basename(path));
    return (await exists(path)) || (await exists(fenced)) || (await exists(path));
  }

  volumeFile(uuid: VolumeUuid): string {
    return join(this.volumes, `${uuid}.qcow2`);
  }

  isVolumeFile(path: string): boolean {
    return dirname(path) === this.volumes;
  }

  snapshotFile(uuid: SnapshotUuid): string {
    return join(this.snapshots, `${uuid}${SNAPSHOT_SUFFIX}`);
  }

  isSnapshotFile(path: string): boolean {
    return dirname(path) === this.snapshots;
  }

  /** Those that are complete: one being made has another name until it is. */
  async snapshotsHeld(): Promise<SnapshotUuid[]> {
    const names = (await readdir(this.snapshots)).filter((name) => name.endsWith(SNAPSHOT_SUFFIX));
    return names.map((name) => name.slice(0, -SNAPSHOT_SUFFIX.length) as SnapshotUuid);
  }

  /** What VMs, volumes and snapshots may fill: what is free, and what they already hold. */
  async capacityBytes(): Promise<number> {
    const fileSystem = await statfs(this.path);
    // By inode: a snapshot and the VMs that were made of it have one file under several names.
    const held = new Map<number, number>();
    for (const folder of [this.instances, this.volumes, this.snapshots])
      for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
        const file = await stat(join(entry.parentPath, entry.name)).catch(() => undefined);
        if (file) held.set(file.ino, file.blocks * BLOCK_BYTES);
      }
    return fileSystem.bavail * fileSystem.bsize + [...held.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  /**
   * The names of the image files that disks on this node stand on, of VMs that are off and of disks in the making too.
   * @throws when one cannot be read: then nobody knows what it stands on.
   */
  async imagesInUse(): Promise<Set<string>> {
    const inUse = new Set<string>();
    for (const folder of [this.instances, this.volumes])
      for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile()) continue;
        const backing = await backingFileOf(join(entry.parentPath, entry.name)).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== 'ENOENT') throw error;
          return undefined;
        });
        if (backing !== undefined && dirname(backing) === this.images) inUse.add(basename(backing));
      }
    return inUse;
  }

  private async checkReachable(): Promise<void> {
    const user = await qemuUser();
    if (!user) return;
    for (let folder = this.images; ; folder = dirname(folder)) {
      const { mode, uid, gid } = await stat(folder);
      const bit = uid === user.uid ? 0o100 : user.gids.includes(gid) ? 0o010 : 0o001;
      if ((mode & bit) === 0) {
        throw new HypervisorError(
          `The data folder ${this.path} cannot be reached by QEMU's user '${user.name}', because ${folder} does not ` +
            `let it pass. Put the data folder elsewhere (for example under /var/lib), or run: chmod o+x ${folder}`,
          false,
        );
      }
      if (folder === dirname(folder)) return;
    }
  }
}

const exists = (path: string): Promise<boolean> => stat(path).then(() => true, () => false);
