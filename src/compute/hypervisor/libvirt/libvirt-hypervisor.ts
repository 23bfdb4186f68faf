/**
 * The hypervisor port on libvirt: real guests, by KVM or emulated.
 *
 * Holds no state of its own about VMs. What it must know of one after a restart stands in the domain's metadata; what a
 * crash left half made is found by its names alone. Domains without our element and node name are never listed and never
 * touched.
 */
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { availableParallelism, totalmem } from 'node:os';
import type { ConsoleKind } from '../../../protocol/console.js';
import type { InventoryItem, NodeCapacity } from '../../../protocol/node.js';
import type { IncarnationId, SnapshotUuid, VmUuid, VolumeUuid } from '../../../protocol/ids.js';
import { DEFAULT_RULES } from '../../../protocol/security-rule.js';
import type { ImageSpec, VmSpec } from '../../../protocol/task.js';
import type { VolumePreparation, VolumeSpec } from '../../../protocol/volume.js';
import { GuardedEgress } from '../../../egress/guarded-egress.js';
import type { ImageOrder } from '../../../protocol/image.js';
import { ensureBootFile } from '../../disks/boot-file.js';
import { ensureOverlay } from '../../disks/overlay-disk.js';
import { ensureBase } from '../../disks/snapshot-file.js';
import { ensureVolumeFile, type VolumeContent } from '../../disks/volume-file.js';
import { ImageCache, type CheckedImage } from '../../images/image-cache.js';
import { refuseUnfit } from '../../images/image-fitness.js';
import { networkName } from '../../network/network-document.js';
import { refuseAddressOfHost } from '../../network/node-interface.js';
import { NodeNetwork } from '../../network/node-network.js';
import { refuseUnreadable } from '../../network/security-rules.js';
import { tapOf } from '../../network/subnet.js';
import { HypervisorError, type DomainIdentity, type GuestCounters, type Hypervisor, type PowerChange } from '../hypervisor.js';
import { probeAcceleration } from './acceleration-probe.js';
import { LibvirtCallError, type DomainRecord } from './calls.js';
import { consoleTail } from './console-file.js';
import { LibvirtConnection } from './connection.js';
import { DataFolder, type InstanceFiles } from './data-folder.js';
import { domainXml, instanceXml, parseInstance, type Accelerator, type InstanceMetadata, type RootDisk } from './domain-document.js';
import { DomainSnapshots } from './domain-snapshots.js';
import { countersOf } from './domain-statistics.js';
import { fenceLibvirtGuests, unfenceLibvirtGuests } from './libvirt-fence.js';
import { DomainVolumes } from './domain-volumes.js';
import { GuestConsoles } from './guest-consoles.js';
import { HostGpus, type GpuHolder } from './host-gpus.js';
import { openKvmDevice } from './kvm-device.js';
import type { LibvirtHypervisorOptions } from './options.js';
import { PowerWatch, type Observation } from './power-watch.js';

const DEFAULT_URI = 'qemu:///system';
const DEFAULT_SHUTDOWN_TIMEOUT_MS = 30_000;
const LOOK_EVERY_MS = 200;
/** A guest that is still booting misses the first press. */
const PRESS_AGAIN_MS = 5_000;
const EVICT_EVERY_MS = 10 * 60_000;
const DEFAULT_IMAGE_CACHE_BYTES = 50 * 2 ** 30;
const MIB = 2 ** 20;
const GIB = 2 ** 30;

interface OwnDomain extends DomainRecord {
  readonly instance: InstanceMetadata;
}

export class LibvirtHypervisor implements Hypervisor {
  readonly name = 'libvirt';
  readonly network: NodeNetwork;
  private readonly connection: LibvirtConnection;
  private readonly data: DataFolder;
  private readonly images: ImageCache;
  private readonly volumes: DomainVolumes;
  private readonly copies: DomainSnapshots;
  private readonly consoles: GuestConsoles;
  private readonly watch = new PowerWatch();
  private readonly gpus: HostGpus;
  private evictions: NodeJS.Timeout | undefined;
  private accelerator: Accelerator = { kind: 'tcg' };
  private mayRun: () => void = () => undefined;

  constructor(private readonly options: LibvirtHypervisorOptions) {
    const { conductorUrl, conductorHeaders, egress = new GuardedEgress([]), log } = options;
    this.connection = new LibvirtConnection(
      options.uri ?? DEFAULT_URI,
      {
        reconnected: () => this.inBackground('after the reconnection', () => this.resume()),
        domainChanged: (uuid) => this.inBackground('after a power change', () => this.look(uuid)),
      },
      log,
    );
    this.network = new NodeNetwork(options.network, this.connection, log);
    this.data = new DataFolder(options.dataFolder);
    this.consoles = new GuestConsoles(this.connection);
    this.gpus = new HostGpus(this.connection, options.gpus ?? [], log);
    this.volumes = new DomainVolumes(this.connection, this.data, log);
    this.copies = new DomainSnapshots(this.connection, this.data, log);
    this.images = new ImageCache({ folder: this.data.images, conductorUrl, conductorHeaders, egress, log });
  }

  get acceleration(): 'kvm' | 'tcg' {
    return this.accelerator.kind;
  }

  async open(): Promise<void> {
    await this.data.open();
    await this.images.open();
    await this.consoles.open();
    await openKvmDevice(this.options.log);
    await this.connection.open();
    try {
      await this.explained('The network of the compute node cannot be prepared', () => this.prepareNetwork());
      await this.chooseAccelerator();
      for (const domain of await this.ownDomains()) this.watch.remember(observationOf(domain));
    } catch (error) {
      await this.close();
      throw error;
    }
    const evict = () => this.inBackground('for image files that nobody uses', () => this.evictImages());
    this.evictions = setInterval(evict, EVICT_EVERY_MS);
    this.evictions.unref();
    // A worker that is often started anew would never come to it.
    evict();
  }

  async close(): Promise<void> {
    clearInterval(this.evictions);
    await this.images.close();
    await this.connection.close();
  }

  async capacity(): Promise<NodeCapacity> {
    return {
      cpus: availableParallelism(),
      memoryMib: Math.floor(totalmem() / MIB),
      diskGib: Math.floor((await this.data.capacityBytes()) / GIB),
      gpus: await this.explained('The GPUs of the compute node cannot be listed', async () => this.gpus.inventory(await this.gpuHolders())),
    };
  }

  inventory(): Promise<readonly InventoryItem[]> {
    return this.explained('The domains of the compute node cannot be listed', async () =>
      (await this.ownDomains()).map((domain) => {
        const { identity, state } = observationOf(domain);
        return { ...identity, state };
      }),
    );
  }

  state(identity: DomainIdentity): Promise<InventoryItem['state'] | undefined> {
    return this.explained('The state of the virtual machine cannot be read', async () => {
      return (await this.domainOf(identity))?.state;
    });
  }

  define(identity: DomainIdentity, spec: VmSpec, metadataToken: string): Promise<void> {
    return this.work(identity, 'The virtual machine cannot be prepared', async () => {
      const present = await this.anyDomain(identity.vmUuid);
      if (present && present.instance.incarnationId !== identity.incarnationId) {
        await this.removeDomain(identityOf(present));
      } else if (present && present.state !== 'stopped') {
        return await this.changeGuestNetwork(present, spec);
      }
      refuseUnreadable(spec.rules);
      if (spec.floatingIp) await refuseAddressOfHost(spec.floatingIp, this.options.network.interface);
      const files = await this.prepareFiles(identity, spec);
      await this.network.attach(spec.network);
      const make = async (gpuAddresses: readonly string[]): Promise<void> => {
        const instance = this.instanceOf(identity, spec, gpuAddresses);
        const { metadataAddress, metadataPort } = this.options.network;
        const xml = domainXml({
          name: `baton-${identity.vmUuid}`,
          uuid: identity.vmUuid,
          title: spec.name,
          instance,
          accelerator: this.accelerator,
          vcpus: spec.vcpus,
          memoryMib: spec.memoryMib,
          seedUrl: `http://${metadataAddress}:${metadataPort}/metadata/${metadataToken}/${identity.vmUuid}/`,
          ...files,
          serialSocket: this.consoles.serialSocketOf(identity),
          interface: { mac: spec.network.mac, tap: tapOf(identity.vmUuid), network: networkName(spec.network.subnet) },
          onReboot: 'restart',
        });
        await this.connection.call('defineDomain', xml);
      };
      const made = spec.gpu ? this.gpus.claim(identity.vmUuid, spec.gpu, () => this.gpuHolders(), make) : make([]);
      await made.catch(async (error: unknown) => {
        // Without a domain, nobody would ever give the place on the network back.
        if (!(await this.domainOf(identity))) await this.network.detach(spec.network);
        throw error;
      });
      await this.applyNetwork();
    });
  }

  isOutgrown(identity: DomainIdentity, { resizes = 0 }: VmSpec): Promise<boolean> {
    return this.explained('The hardware of the virtual machine cannot be read', async () => {
      const domain = await this.domainOf(identity);
      return domain !== undefined && domain.instance.resizes < resizes;
    });
  }

  start(identity: DomainIdentity): Promise<void> {
    return this.work(identity, 'The virtual machine cannot be started', async () => {
      const domain = await this.domainOf(identity);
      if (!domain) throw new HypervisorError('The virtual machine is not defined on its node.', true);
      if (domain.state === 'running') return;
      if (domain.instance.network) await this.network.attach(domain.instance.network);
      this.mayRun();
      await this.connection.call('startDomain', identity.vmUuid);
    });
  }

  hibernate(identity: DomainIdentity): Promise<void> {
    return this.work(identity, 'The virtual machine cannot be hibernated', async () => {
      const domain = await this.domainOf(identity);
      if (!domain || domain.state === 'hibernated') return;
      const { gpuAddresses } = domain.instance;
      if (domain.state === 'running') {
        // No hypervisor can save what is in a GPU that was passed through.
        if (gpuAddresses.length > 0) await this.shutDown(identity);
        else await this.connection.call('saveMemory', identity.vmUuid);
      }
      if (gpuAddresses.length > 0)
        await this.connection.call('setMetadata', identity.vmUuid, instanceXml({ ...domain.instance, gpuAddresses: [] }));
    });
  }

  stop(identity: DomainIdentity): Promise<void> {
    return this.work(identity, 'The virtual machine cannot be stopped', async () => {
      if ((await this.domainOf(identity))?.state === 'hibernated') await this.connection.call('dropSavedMemory', identity.vmUuid);
      await this.shutDown(identity);
    });
  }

  changeNetwork(identity: DomainIdentity, spec: VmSpec): Promise<void> {
    return this.work(identity, 'The network of the virtual machine cannot be changed', async () => {
      const domain = await this.domainOf(identity);
      if (domain) await this.changeGuestNetwork(domain, spec);
    });
  }

  reset(identity: DomainIdentity, times: number): Promise<void> {
    return this.work(identity, 'The virtual machine cannot be reset', async () => {
      const domain = await this.domainOf(identity);
      if (domain?.state !== 'running' || domain.instance.resets >= times) return;
      await this.connection.call('resetDomain', identity.vmUuid);
      // Afterwards: a crash in between resets it once more, which is better than not at all.
      await this.connection.call('setMetadata', identity.vmUuid, instanceXml({ ...domain.instance, resets: times }));
    });
  }

  consoleLog(identity: DomainIdentity, bytes: number): Promise<Buffer> {
    return consoleTail(this.data.filesOf(identity).consoleLog, bytes);
  }

  openConsole(identity: DomainIdentity, kind: ConsoleKind): Promise<Duplex> {
    return this.explained('The console of the virtual machine cannot be opened', async () => {
      if ((await this.domainOf(identity))?.state !== 'running')
        throw new HypervisorError('The virtual machine does not run on its node.', false);
      return await (kind === 'vnc' ? this.consoles.screen(identity) : this.consoles.serialLine(identity));
    });
  }

  counters(): Promise<readonly GuestCounters[]> {
    return this.explained('What the guests of the compute node use cannot be read', async () => {
      const statistics = new Map((await this.connection.call('statistics')).map((domain) => [domain.uuid, domain]));
      return (await this.ownDomains()).flatMap((domain) => {
        const found = domain.state === 'running' ? statistics.get(domain.uuid) : undefined;
        return found ? [{ ...identityOf(domain), ...countersOf(found) }] : [];
      });
    });
  }

  setVolumes(identity: DomainIdentity, volumes: readonly VolumeSpec[], root?: VolumeSpec): Promise<void> {
    return this.work(identity, 'The volumes of the virtual machine cannot be changed', async () => {
      const domain = await this.domainOf(identity);
      if (!domain) throw new HypervisorError('The virtual machine is not defined on its node.', true);
      await this.volumes.set(identity.vmUuid, domain.state === 'running', volumes, root);
    });
  }

  prepareVolume({ uuid, sizeGib, image }: VolumePreparation): Promise<void> {
    return ensureVolumeFile(this.data.volumeFile(uuid), sizeGib, () => this.baseOf(image, sizeGib));
  }

  removeVolume(uuid: VolumeUuid): Promise<void> {
    return this.explained('The volume cannot be removed', async () => {
      await this.volumes.remove(uuid, (await this.ownDomains()).map((domain) => domain.uuid));
    });
  }

  /** Not muted: a guest that goes off while its disk is copied is news like any other. */
  takeSnapshot(identity: DomainIdentity, uuid: SnapshotUuid): Promise<{ sizeBytes: number }> {
    return this.explained('The disk of the virtual machine cannot be copied', async () => {
      const domain = await this.domainOf(identity);
      if (!domain) throw new HypervisorError('The virtual machine is not defined on its node.', true);
      return await this.copies.take(uuid, identity.vmUuid, domain.state);
    });
  }

  snapshots(): Promise<readonly SnapshotUuid[]> {
    return this.data.snapshotsHeld();
  }

  removeSnapshot(uuid: SnapshotUuid): Promise<void> {
    return this.copies.remove(uuid);
  }

  remove(identity: DomainIdentity): Promise<void> {
    return this.work(identity, 'The virtual machine cannot be removed', () => this.removeDomain(identity));
  }

  fetchImage(
    order: ImageOrder,
    onProgress: (bytes: number, totalBytes: number | undefined) => void,
    signal: AbortSignal,
  ): Promise<CheckedImage> {
    return this.images.check(order, onProgress, signal);
  }

  guardStarts(mayRun: () => void): void {
    this.mayRun = mayRun;
  }

  fence(): Promise<void> {
    return fenceLibvirtGuests(this.data.path);
  }

  unfence(): Promise<void> {
    return unfenceLibvirtGuests(this.data.path);
  }

  onPowerChange(listener: (change: PowerChange) => void): void {
    this.watch.onChange(listener);
  }

  private async removeDomain(identity: DomainIdentity): Promise<void> {
    const present = await this.connection.call('domain', identity.vmUuid);
    const own = present && this.asOwn(present);
    if (own?.instance.incarnationId === identity.incarnationId) {
      if (own.state === 'running') await this.connection.call('powerOff', identity.vmUuid);
      // First, because the domain is what knows of it.
      if (own.instance.network) await this.network.detach(own.instance.network);
      await this.connection.call('undefineDomain', identity.vmUuid);
    }
    await this.data.removeInstance(identity);
    await this.consoles.remove(identity);
    await this.applyNetwork();
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

  private async rootDisk(own: InstanceFiles, { image, diskGib, rootVolume }: VmSpec): Promise<RootDisk> {
    if (rootVolume) {
      await this.prepareVolume({ ...rootVolume, image });
      return { volume: rootVolume.uuid, file: this.data.volumeFile(rootVolume.uuid) };
    }
    const { base, baseFormat } = await this.baseOf(image, diskGib, own);
    await ensureOverlay({ overlay: own.disk, base, baseFormat, sizeGib: diskGib });
    return { overlay: own.disk, base, baseFormat };
  }

  private async prepareFiles(identity: DomainIdentity, spec: VmSpec) {
    const { image, autoRecover, rootVolume } = spec;
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

  private async evictImages(): Promise<void> {
    await this.images.evict(await this.data.imagesInUse(), this.options.imageCacheBytes ?? DEFAULT_IMAGE_CACHE_BYTES);
  }

  private async changeGuestNetwork({ uuid, instance }: OwnDomain, { floatingIp, rules }: VmSpec): Promise<void> {
    const changed = instanceXml({ ...instance, floatingIp, rules });
    if (changed !== instanceXml(instance)) {
      if (floatingIp && floatingIp !== instance.floatingIp) await refuseAddressOfHost(floatingIp, this.options.network.interface);
      refuseUnreadable(rules);
      await this.connection.call('setMetadata', uuid, changed);
    }
    await this.applyNetwork();
  }

  private async shutDown(identity: DomainIdentity): Promise<void> {
    const startedAt = Date.now();
    const limit = this.options.shutdownTimeoutMs ?? DEFAULT_SHUTDOWN_TIMEOUT_MS;
    let pressedAt = -Infinity;
    while (Date.now() - startedAt < limit) {
      if ((await this.domainOf(identity))?.state !== 'running') return;
      if (Date.now() - pressedAt >= PRESS_AGAIN_MS) {
        pressedAt = Date.now();
        await this.pressPowerButton(identity);
      }
      await delay(LOOK_EVERY_MS);
    }
    this.options.log.info({ vm: identity.vmUuid, limit }, 'the guest did not shut down in time: powering it off');
    await this.connection.call('powerOff', identity.vmUuid);
  }

  private async pressPowerButton({ vmUuid }: DomainIdentity): Promise<void> {
    try {
      await this.connection.call('pressPowerButton', vmUuid);
    } catch (error) {
      // It may have gone off in this very moment; and a guest that cannot hear is powered off in the end.
      this.options.log.debug({ vm: vmUuid, error }, 'the power button could not be pressed');
    }
  }

  private async chooseAccelerator(): Promise<void> {
    const { acceleration = 'probe', node, probeGuest, log } = this.options;
    if (acceleration === 'kvm') this.accelerator = { kind: 'kvm', cpuMode: 'host-passthrough' };
    if (acceleration !== 'probe') return;
    const probe = { node, folder: this.data.path, guest: probeGuest };
    const { accelerator, reason } = await probeAcceleration(this.connection, probe, log);
    this.accelerator = accelerator;
    if (reason) log.warn({ reason }, 'guests are emulated (TCG), which is many times slower than KVM');
    else log.info(accelerator, 'guests run under KVM');
  }

  private async prepareNetwork(): Promise<void> {
    await this.network.prepare(() => this.cardsOnHost());
    await this.applyNetwork();
  }

  /** After a lost connection: the network may be gone and events of the meantime are lost. */
  private async resume(): Promise<void> {
    await this.prepareNetwork();
    for (const domain of await this.ownDomains()) this.watch.observe(observationOf(domain));
  }

  private async look(uuid: string): Promise<void> {
    // libvirt answers nothing about a domain while it stops it, and everybody else would wait behind the question.
    if (this.watch.isMuted(uuid)) return;
    const record = await this.connection.call('domain', uuid);
    const own = record && this.asOwn(record);
    if (own) this.watch.observe(observationOf(own));
  }

  private applyNetwork(): Promise<void> {
    return this.network.apply(async () =>
      (await this.ownDomains()).flatMap(({ uuid, instance: { network, floatingIp, rules = DEFAULT_RULES } }) =>
        network ? [{ vmUuid: uuid, network, floatingIp, rules }] : [],
      ),
    );
  }

  /** Other workers' guests too: they share the networks. */
  private async cardsOnHost(): Promise<Set<string>> {
    const domains = await this.connection.call('listDomains');
    return new Set(domains.flatMap(({ metadata }) => parseInstance(metadata)?.network?.mac ?? []));
  }

  private async gpuHolders(): Promise<GpuHolder[]> {
    return (await this.ownDomains()).map(({ uuid, instance: { gpuAddresses } }) => ({ uuid, gpuAddresses }));
  }

  private instanceOf(
    { incarnationId }: DomainIdentity,
    { network, floatingIp, rules, resets = 0, resizes = 0 }: VmSpec,
    gpuAddresses: readonly string[],
  ): InstanceMetadata {
    return { node: this.options.node, incarnationId, network, floatingIp, rules, resets, resizes, gpuAddresses };
  }

  private async ownDomains(): Promise<OwnDomain[]> {
    return (await this.connection.call('listDomains')).flatMap((record) => this.asOwn(record) ?? []);
  }

  private asOwn(record: DomainRecord): OwnDomain | undefined {
    const instance = parseInstance(record.metadata);
    return instance?.node === this.options.node ? { ...record, instance } : undefined;
  }

  /** The domain of any life of the VM on this node. @throws HypervisorError when the UUID is somebody else's. */
  private async anyDomain(vmUuid: VmUuid): Promise<OwnDomain | undefined> {
    const record = await this.connection.call('domain', vmUuid);
    if (!record) return undefined;
    const own = this.asOwn(record);
    if (own) return own;
    const owner = parseInstance(record.metadata)?.node;
    throw new HypervisorError(
      owner
        ? `A former life of the virtual machine is still on the node '${owner}' of the same host.`
        : 'The host has a domain with the UUID of the virtual machine that Baton did not make.',
      owner !== undefined,
    );
  }

  private async domainOf({ vmUuid, incarnationId }: DomainIdentity): Promise<OwnDomain | undefined> {
    const record = await this.connection.call('domain', vmUuid);
    const own = record && this.asOwn(record);
    return own?.instance.incarnationId === incarnationId ? own : undefined;
  }

  private work<T>(identity: DomainIdentity, failure: string, task: () => Promise<T>): Promise<T> {
    return this.watch.mute(
      identity.vmUuid,
      () => this.explained(failure, task),
      async (): Promise<Observation | undefined> => {
        const domain = await this.domainOf(identity);
        return domain && observationOf(domain);
      },
    );
  }

  /** Libvirt's words are for the operator: the owner reads what could not be done. */
  private async explained<T>(failure: string, task: () => Promise<T>): Promise<T> {
    try {
      return await task();
    } catch (error) {
      if (!(error instanceof LibvirtCallError)) throw error;
      this.options.log.warn({ failure, libvirt: error.failure }, 'libvirt refused');
      throw new HypervisorError(`${failure}: libvirt on the compute node refused.`, true, { cause: error });
    }
  }

  private inBackground(when: string, task: () => Promise<void>): void {
    task().catch((error: unknown) => this.options.log.warn({ error }, `could not look at the domains ${when}`));
  }
}

function identityOf({ uuid, instance }: OwnDomain): DomainIdentity {
  return { vmUuid: uuid as VmUuid, incarnationId: instance.incarnationId as IncarnationId };
}

function observationOf(domain: OwnDomain): Observation {
  return { identity: identityOf(domain), state: domain.state };
}
