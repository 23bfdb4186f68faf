/**
 * The hypervisor port on libvirt: real guests, by KVM or emulated.
 *
 * Holds no state of its own about VMs. What it must know of one after a restart stands in the domain's metadata; what a
 * crash left half made is found by its names alone. Domains without our element and node name are never touched, and
 * listed as foreign ones alone.
 */
import type { Duplex } from 'node:stream';
import { availableParallelism, totalmem } from 'node:os';
import type { ConsoleKind } from '../../../protocol/console.js';
import type { ForeignDomain, InventoryItem, NodeCapacity } from '../../../protocol/node.js';
import type { SnapshotUuid, VolumeUuid } from '../../../protocol/ids.js';
import type { VmSpec } from '../../../protocol/task.js';
import type { VolumePreparation, VolumeSpec } from '../../../protocol/volume.js';
import { GuardedEgress } from '../../../egress/guarded-egress.js';
import type { ImageOrder } from '../../../protocol/image.js';
import { ImageCache, type CheckedImage } from '../../images/image-cache.js';
import { networkName } from '../../network/network-document.js';
import { NodeNetwork } from '../../network/node-network.js';
import { tapOf } from '../../network/subnet.js';
import { HypervisorError, type DomainIdentity, type GuestCounters, type Hypervisor, type MetadataSeed, type PowerChange } from '../hypervisor.js';
import { chooseAccelerator, isProbe } from './acceleration-probe.js';
import { LibvirtCallError } from './calls.js';
import { consoleTail } from './console-file.js';
import { LibvirtConnection } from './connection.js';
import { DataFolder } from './data-folder.js';
import { domainXml, instanceXml, parseInstance, type Accelerator, type InstanceMetadata } from './domain-document.js';
import { DomainSnapshots } from './domain-snapshots.js';
import { countersOf } from './domain-statistics.js';
import { fenceLibvirtGuests, unfenceLibvirtGuests } from './libvirt-fence.js';
import { DomainVolumes } from './domain-volumes.js';
import { GuestConsoles } from './guest-consoles.js';
import { GuestFiles } from './guest-files.js';
import { GuestNetworks } from './guest-networks.js';
import { GuestShutdown } from './guest-shutdown.js';
import { HostGpus } from './host-gpus.js';
import { openKvmDevice } from './kvm-device.js';
import { disksIn } from './volume-document.js';
import type { LibvirtHypervisorOptions } from './options.js';
import { identityOf, observationOf, OwnDomains, type OwnDomain } from './own-domains.js';
import { PowerWatch, type Observation } from './power-watch.js';

const DEFAULT_URI = 'qemu:///system';
const EVICT_EVERY_MS = 10 * 60_000;
const DEFAULT_IMAGE_CACHE_BYTES = 50 * 2 ** 30;
const MIB = 2 ** 20;
const GIB = 2 ** 30;

export class LibvirtHypervisor implements Hypervisor {
  readonly name = 'libvirt';
  readonly network: NodeNetwork;
  private readonly guestNetworks: GuestNetworks;
  private readonly connection: LibvirtConnection;
  private readonly domains: OwnDomains;
  private readonly data: DataFolder;
  private readonly images: ImageCache;
  private readonly files: GuestFiles;
  private readonly volumes: DomainVolumes;
  private readonly copies: DomainSnapshots;
  private readonly consoles: GuestConsoles;
  private readonly power: GuestShutdown;
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
        reconnected: () => this.inBackground('after the reconnection', () => this.lookAgain()),
        domainChanged: (uuid) => this.inBackground('after a power change', () => this.look(uuid)),
      },
      log,
    );
    this.domains = new OwnDomains(this.connection, options.node);
    this.network = new NodeNetwork(options.network, this.connection, log);
    this.guestNetworks = new GuestNetworks(this.network, this.domains, this.connection, options.network.interface);
    this.data = new DataFolder(options.dataFolder);
    this.consoles = new GuestConsoles(this.connection);
    this.gpus = new HostGpus(this.connection, options.gpus ?? [], log);
    this.power = new GuestShutdown(this.connection, this.domains, log, options.shutdownTimeoutMs);
    this.volumes = new DomainVolumes(this.connection, this.data, log);
    this.copies = new DomainSnapshots(this.connection, this.data, log);
    this.images = new ImageCache({ folder: this.data.images, conductorUrl, conductorHeaders, egress, log });
    this.files = new GuestFiles(this.data, this.images);
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
      await this.explained('The network of the compute node cannot be prepared', () => this.guestNetworks.prepare());
      this.accelerator = await chooseAccelerator(this.connection, { ...this.options, folder: this.data.path });
      for (const domain of await this.domains.all()) this.watch.remember(observationOf(domain));
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
      gpus: await this.explained('The GPUs of the compute node cannot be listed', async () => this.gpus.inventory(await this.domains.gpuHolders())),
    };
  }

  inventory(): Promise<readonly InventoryItem[]> {
    return this.explained('The domains of the compute node cannot be listed', async () =>
      Promise.all(
        (await this.domains.all()).map(async (domain) => ({
          ...identityOf(domain),
          state: domain.state,
          ...(domain.paused && { paused: domain.paused }),
          ...(domain.shutDown && domain.state === 'stopped' && { shutDown: domain.shutDown }),
          ...((await this.missesDisk(domain)) && { diskMissing: true as const }),
        })),
      ),
    );
  }

  /** Domains of other nodes on this host are Baton's. */
  foreignDomains(): Promise<readonly ForeignDomain[]> {
    return this.explained('The domains of the compute node cannot be listed', async () =>
      (await this.connection.call('listDomains')).flatMap(({ uuid, name, metadata }) =>
        parseInstance(metadata) || isProbe(name) ? [] : [{ uuid, name }],
      ),
    );
  }

  state(identity: DomainIdentity): Promise<InventoryItem['state'] | undefined> {
    return this.explained('The state of the virtual machine cannot be read', async () => {
      return (await this.domains.find(identity))?.state;
    });
  }

  define(identity: DomainIdentity, spec: VmSpec, metadataToken: string): Promise<void> {
    return this.work(identity, 'The virtual machine cannot be prepared', async () => {
      const present = await this.domains.ofAnyLife(identity.vmUuid);
      if (present && present.instance.incarnationId !== identity.incarnationId) {
        await this.removeDomain(identityOf(present));
      } else if (present && present.state !== 'stopped') {
        return await this.guestNetworks.change(present, spec);
      }
      await this.guestNetworks.refuseUnfit(spec);
      const files = await this.files.prepare(identity, spec);
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
      const made = spec.gpu ? this.gpus.claim(identity.vmUuid, spec.gpu, () => this.domains.gpuHolders(), make) : make([]);
      await made.catch(async (error: unknown) => {
        // Without a domain, nobody would ever give the place on the network back.
        if (!(await this.domains.find(identity))) await this.network.detach(spec.network);
        throw error;
      });
      await this.guestNetworks.apply();
    });
  }

  isOutgrown(identity: DomainIdentity, { resizes = 0 }: VmSpec): Promise<boolean> {
    return this.explained('The hardware of the virtual machine cannot be read', async () => {
      const domain = await this.domains.find(identity);
      return domain !== undefined && domain.instance.resizes < resizes;
    });
  }

  start(identity: DomainIdentity): Promise<void> {
    return this.work(identity, 'The virtual machine cannot be started', async () => {
      const domain = await this.domains.find(identity);
      if (!domain) throw new HypervisorError('The virtual machine is not defined on its node.', true);
      if (domain.state === 'running') return;
      if (domain.instance.network) await this.network.attach(domain.instance.network);
      this.mayRun();
      await this.connection.call('startDomain', identity.vmUuid);
    });
  }

  resume(identity: DomainIdentity): Promise<void> {
    return this.work(identity, 'The virtual machine is paused and cannot go on', async () => {
      if (!(await this.domains.find(identity))?.paused) return;
      this.mayRun();
      await this.connection.call('resumeDomain', identity.vmUuid);
    });
  }

  hibernate(identity: DomainIdentity): Promise<void> {
    return this.work(identity, 'The virtual machine cannot be hibernated', async () => {
      const domain = await this.domains.find(identity);
      if (!domain || domain.state === 'hibernated') return;
      const { gpuAddresses } = domain.instance;
      if (domain.state === 'running') {
        // No hypervisor can save what is in a GPU that was passed through.
        if (gpuAddresses.length > 0) await this.power.shutDown(identity);
        else await this.connection.call('saveMemory', identity.vmUuid);
      }
      if (gpuAddresses.length > 0)
        await this.connection.call('setMetadata', identity.vmUuid, instanceXml({ ...domain.instance, gpuAddresses: [] }));
    });
  }

  stop(identity: DomainIdentity): Promise<void> {
    return this.work(identity, 'The virtual machine cannot be stopped', async () => {
      if ((await this.domains.find(identity))?.state === 'hibernated') await this.connection.call('dropSavedMemory', identity.vmUuid);
      await this.power.shutDown(identity);
    });
  }

  changeNetwork(identity: DomainIdentity, spec: VmSpec): Promise<void> {
    return this.work(identity, 'The network of the virtual machine cannot be changed', async () => {
      const domain = await this.domains.find(identity);
      if (domain) await this.guestNetworks.change(domain, spec);
    });
  }

  reset(identity: DomainIdentity, times: number): Promise<void> {
    return this.work(identity, 'The virtual machine cannot be reset', async () => {
      const domain = await this.domains.find(identity);
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
      if ((await this.domains.find(identity))?.state !== 'running')
        throw new HypervisorError('The virtual machine does not run on its node.', false);
      return await (kind === 'vnc' ? this.consoles.screen(identity) : this.consoles.serialLine(identity));
    });
  }

  guestAt(address: string): Promise<MetadataSeed | undefined> {
    return this.explained('The guests of the compute node cannot be listed', () => this.domains.seedAt(address));
  }

  counters(): Promise<readonly GuestCounters[]> {
    return this.explained('What the guests of the compute node use cannot be read', async () => {
      const statistics = new Map((await this.connection.call('statistics')).map((domain) => [domain.uuid, domain]));
      return (await this.domains.all()).flatMap((domain) => {
        const found = domain.state === 'running' ? statistics.get(domain.uuid) : undefined;
        return found ? [{ ...identityOf(domain), ...countersOf(found) }] : [];
      });
    });
  }

  setVolumes(identity: DomainIdentity, volumes: readonly VolumeSpec[], root?: VolumeSpec): Promise<void> {
    return this.work(identity, 'The volumes of the virtual machine cannot be changed', async () => {
      const domain = await this.domains.find(identity);
      if (!domain) throw new HypervisorError('The virtual machine is not defined on its node.', true);
      await this.volumes.set(identity.vmUuid, domain.state === 'running', volumes, root);
    });
  }

  prepareVolume(volume: VolumePreparation): Promise<void> {
    return this.files.prepareVolume(volume);
  }

  removeVolume(uuid: VolumeUuid): Promise<void> {
    return this.explained('The volume cannot be removed', async () => {
      await this.volumes.remove(uuid, (await this.domains.all()).map((domain) => domain.uuid));
    });
  }

  /** Not muted: a guest that goes off while its disk is copied is news like any other. */
  takeSnapshot(identity: DomainIdentity, uuid: SnapshotUuid): Promise<{ sizeBytes: number }> {
    return this.explained('The disk of the virtual machine cannot be copied', async () => {
      const domain = await this.domains.find(identity);
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
    const own = await this.domains.find(identity);
    if (own) {
      if (own.state === 'running') await this.connection.call('powerOff', identity.vmUuid);
      // First, because the domain is what knows of it.
      if (own.instance.network) await this.network.detach(own.instance.network);
      await this.connection.call('undefineDomain', identity.vmUuid);
    }
    await this.data.removeInstance(identity);
    await this.consoles.remove(identity);
    await this.guestNetworks.apply();
  }

  private async missesDisk({ uuid }: OwnDomain): Promise<boolean> {
    const document = await this.connection.call('domainDocument', uuid, 'config');
    if (document === undefined) return false;
    const there = await Promise.all(disksIn(document).map(async ({ file }) => file === undefined || (await this.data.isThere(file))));
    return there.includes(false);
  }

  private async evictImages(): Promise<void> {
    await this.images.evict(await this.data.imagesInUse(), this.options.imageCacheBytes ?? DEFAULT_IMAGE_CACHE_BYTES);
  }

  /** After a lost connection: the network may be gone and events of the meantime are lost. */
  private async lookAgain(): Promise<void> {
    await this.guestNetworks.prepare();
    for (const domain of await this.domains.all()) this.watch.observe(observationOf(domain));
  }

  private async look(uuid: string): Promise<void> {
    // libvirt answers nothing about a domain while it stops it, and everybody else would wait behind the question.
    if (this.watch.isMuted(uuid)) return;
    const own = await this.domains.byUuid(uuid);
    if (own) this.watch.observe(observationOf(own));
  }

  private instanceOf(
    { incarnationId }: DomainIdentity,
    { network, floatingIp, rules, resets = 0, resizes = 0 }: VmSpec,
    gpuAddresses: readonly string[],
  ): InstanceMetadata {
    return { node: this.options.node, incarnationId, network, floatingIp, rules, resets, resizes, gpuAddresses };
  }

  private work<T>(identity: DomainIdentity, failure: string, task: () => Promise<T>): Promise<T> {
    return this.watch.mute(
      identity.vmUuid,
      () => this.explained(failure, task),
      async (): Promise<Observation | undefined> => {
        const domain = await this.domains.find(identity);
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
