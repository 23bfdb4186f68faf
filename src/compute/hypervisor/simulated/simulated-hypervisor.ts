/**
 * The hypervisor port without guests: domains are rows in a journal that outlives the process, starting one takes the
 * time it is told. For tests, benches and hosts without virtualization.
 *
 * It keeps every promise of the port that can be kept without a guest: calls may be repeated, a domain of another
 * incarnation counts as none. It must stay cheap at hundreds of VMs a second.
 */
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PassThrough, type Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { pino } from 'pino';
import type { Config } from '../../../config/settings.js';
import type { ConsoleKind } from '../../../protocol/console.js';
import type { SnapshotUuid, VmUuid, VolumeUuid } from '../../../protocol/ids.js';
import type { ForeignDomain, InventoryItem, NodeCapacity } from '../../../protocol/node.js';
import type { ImageOrder } from '../../../protocol/image.js';
import type { VmSpec } from '../../../protocol/task.js';
import type { VolumePreparation, VolumeSpec } from '../../../protocol/volume.js';
import { GuardedEgress } from '../../../egress/guarded-egress.js';
import { ImageCache, type CheckedImage } from '../../images/image-cache.js';
import { HypervisorError, type DomainIdentity, type GuestCounters, type Hypervisor, type PowerChange } from '../hypervisor.js';
import { Journal, simulatedJournal, type SimulatedDomain } from './journal.js';
import { misbehave, type Misbehaviours } from './misbehaviour.js';
import { fenceSimulatedGuests } from './simulated-fence.js';
import { simulatedConsole } from './simulated-console.js';
import { simulatedCounters } from './simulated-counters.js';
import { SimulatedScreen } from './simulated-screen.js';
import { SimulatedSerialLine } from './simulated-serial-line.js';

/** What the copy of a simulated disk is said to take: it is empty. */
const SNAPSHOT_BYTES = 196_608;

export interface SimulatedHypervisorOptions {
  readonly journalPath: string;
  readonly capacity: NodeCapacity;
  readonly bootMs?: number;
  /** Share of starts that fail, between 0 and 1. */
  readonly failureRate?: number;
  readonly misbehaviours?: Misbehaviours;
  /** Ranges that images may be downloaded from although they are not public. */
  readonly egressAllow?: readonly string[];
}

export class SimulatedHypervisor implements Hypervisor {
  readonly name = 'simulated';
  readonly acceleration = 'none';
  /** May be changed while it runs. */
  misbehaviours: Misbehaviours;
  /** Somebody else's, on the same host. */
  foreign: readonly ForeignDomain[] = [];
  private domains = new Map<VmUuid, SimulatedDomain>();
  private copies = new Set<SnapshotUuid>();
  private readonly journal: Journal;
  private readonly consoles = new Set<Duplex>();
  private mayRun: () => void = () => undefined;
  private readonly openedAt = performance.now();
  private readonly listeners: ((change: PowerChange) => void)[] = [];

  constructor(private readonly options: SimulatedHypervisorOptions) {
    this.misbehaviours = options.misbehaviours ?? {};
    this.journal = new Journal(options.journalPath);
  }

  static fromConfig(config: Config): SimulatedHypervisor {
    const [cpus, memoryMib, diskGib] = config.simulatedCapacity;
    return new SimulatedHypervisor({
      journalPath: simulatedJournal(config.stateFolder),
      capacity: { cpus, memoryMib, diskGib, gpus: config.gpus.filter((gpu) => 'count' in gpu) },
      bootMs: config.simulatedBootMs,
      failureRate: config.simulatedFailureRate,
      egressAllow: config.egressAllow,
    });
  }

  async open(): Promise<void> {
    ({ domains: this.domains, snapshots: this.copies } = await this.journal.open());
  }

  async close(): Promise<void> {
    for (const console of this.consoles) console.destroy();
    await this.journal.close();
  }

  async capacity(): Promise<NodeCapacity> {
    return this.options.capacity;
  }

  async inventory(): Promise<readonly InventoryItem[]> {
    const goesOn = await misbehave('inventory', this.misbehaviours.inventory);
    return goesOn ? [...this.domains.values()].filter(isDefined).map(listed) : [];
  }

  async foreignDomains(): Promise<readonly ForeignDomain[]> {
    return this.foreign;
  }

  async state(identity: DomainIdentity): Promise<InventoryItem['state'] | undefined> {
    const goesOn = await misbehave('state', this.misbehaviours.state);
    return goesOn ? this.find(identity)?.state : undefined;
  }

  async define(identity: DomainIdentity, spec: VmSpec, _metadataToken: string): Promise<void> {
    const goesOn = await misbehave('define', this.misbehaviours.define);
    const found = this.find(identity);
    const left = this.domains.get(identity.vmUuid);
    if (spec.hasDisk && found?.state !== 'running' && (left?.incarnationId !== identity.incarnationId || left.diskMissing)) throw diskIsMissing();
    const { disk } = spec.image;
    if (!found && 'snapshot' in disk && !this.copies.has(disk.snapshot) && !spec.hasDisk)
      throw new HypervisorError('The snapshot that the virtual machine is to be made of is not on this compute node.', false, { failure: 'image' });
    if (!goesOn) return;
    const present = found ?? { ...pick(identity), state: 'stopped' as const };
    // Like a domain, a running one takes the new specification when it is next started.
    if (present.state === 'stopped') await this.put({ ...present, ...madeOf(spec) });
    else await this.changeGuestNetwork(present, spec);
  }

  async isOutgrown(identity: DomainIdentity, spec: VmSpec): Promise<boolean> {
    return (this.find(identity)?.hardware?.resizes ?? 0) < (spec.resizes ?? 0);
  }

  async start(identity: DomainIdentity): Promise<void> {
    if (!(await misbehave('start', this.misbehaviours.start))) return;
    if (!this.find(identity)) throw new HypervisorError('The virtual machine is not defined on its node.', true);
    if (this.find(identity)?.state === 'running') return;
    this.mayRun();
    if (this.options.bootMs) await sleep(this.options.bootMs);
    if (Math.random() < (this.options.failureRate ?? 0)) throw new HypervisorError('The simulated guest did not start.', false);
    await this.change(identity, 'running');
  }

  async resume(identity: DomainIdentity): Promise<void> {
    if (!(await misbehave('resume', this.misbehaviours.resume))) return;
    const domain = this.find(identity);
    if (domain?.paused) await this.put({ ...domain, paused: undefined });
  }

  async stop(identity: DomainIdentity): Promise<void> {
    if (await misbehave('stop', this.misbehaviours.stop)) await this.change(identity, 'stopped');
  }

  async hibernate(identity: DomainIdentity): Promise<void> {
    if (await misbehave('hibernate', this.misbehaviours.hibernate)) await this.change(identity, 'hibernated');
  }

  async changeNetwork(identity: DomainIdentity, spec: VmSpec): Promise<void> {
    if (!(await misbehave('changeNetwork', this.misbehaviours.changeNetwork))) return;
    const domain = this.find(identity);
    if (domain) await this.changeGuestNetwork(domain, spec);
  }

  async reset(identity: DomainIdentity, times: number): Promise<void> {
    if (!(await misbehave('reset', this.misbehaviours.reset))) return;
    const domain = this.find(identity);
    if (domain?.state !== 'running' || domain.resets >= times) return;
    if (this.options.bootMs) await sleep(this.options.bootMs);
    await this.put({ ...domain, resets: times });
  }

  async setVolumes(identity: DomainIdentity, volumes: readonly VolumeSpec[], root?: VolumeSpec): Promise<void> {
    if (!(await misbehave('setVolumes', this.misbehaviours.setVolumes))) return;
    const domain = this.find(identity);
    if (!domain) throw new HypervisorError('The virtual machine is not defined on its node.', true);
    const all = root ? [root, ...volumes] : volumes;
    for (const { uuid } of all) {
      const holder = this.holderOf(uuid);
      // As QEMU's lock of the file would have it.
      if (holder && holder !== domain) throw new HypervisorError('The volume is in use by another virtual machine.', true);
    }
    await this.put({ ...domain, volumes: all.map(({ uuid }) => uuid), volumeGib: all.map(({ sizeGib }) => sizeGib) });
  }

  async prepareVolume(_volume: VolumePreparation): Promise<void> {
    await misbehave('prepareVolume', this.misbehaviours.prepareVolume);
  }

  async removeVolume(uuid: VolumeUuid): Promise<void> {
    if (!(await misbehave('removeVolume', this.misbehaviours.removeVolume))) return;
    if (this.holderOf(uuid)) throw new HypervisorError('The volume is in use by a virtual machine.', true);
  }

  async takeSnapshot(identity: DomainIdentity, uuid: SnapshotUuid): Promise<{ sizeBytes: number }> {
    const goesOn = await misbehave('takeSnapshot', this.misbehaviours.takeSnapshot);
    const domain = this.find(identity);
    if (!domain) throw new HypervisorError('The virtual machine is not defined on its node.', true);
    if (goesOn && !this.copies.has(uuid)) {
      this.copies.add(uuid);
      await this.journal.append({ snapshot: uuid });
    }
    return { sizeBytes: SNAPSHOT_BYTES };
  }

  async snapshots(): Promise<readonly SnapshotUuid[]> {
    return [...this.copies];
  }

  async removeSnapshot(uuid: SnapshotUuid): Promise<void> {
    if (!(await misbehave('removeSnapshot', this.misbehaviours.removeSnapshot))) return;
    if (this.copies.delete(uuid)) await this.journal.append({ snapshot: uuid, removed: true });
  }

  async remove(identity: DomainIdentity): Promise<void> {
    if (!(await misbehave('remove', this.misbehaviours.remove))) return;
    const present = this.domains.get(identity.vmUuid);
    if (present?.incarnationId !== identity.incarnationId) return;
    this.domains.delete(present.vmUuid);
    await this.journal.append({ vmUuid: present.vmUuid, removed: true });
  }

  async consoleLog(identity: DomainIdentity, bytes: number): Promise<Buffer> {
    if (!(await misbehave('consoleLog', this.misbehaviours.consoleLog))) return Buffer.alloc(0);
    const domain = this.find(identity);
    if (!domain) return Buffer.alloc(0);
    const console = Buffer.from(simulatedConsole(domain));
    return console.subarray(Math.max(0, console.length - bytes));
  }

  /** No simulated guest ever asks. */
  async guestAt(): Promise<undefined> {}

  /** The file goes again at once: no simulated guest ever reads it. */
  async fetchImage(order: ImageOrder, onProgress: (bytes: number, totalBytes: number | undefined) => void, signal: AbortSignal): Promise<CheckedImage> {
    await misbehave('fetchImage', this.misbehaviours.fetchImage);
    const folder = join(dirname(this.options.journalPath), 'images');
    const images = new ImageCache({
      folder,
      conductorUrl: 'http://localhost',
      conductorHeaders: () => ({}),
      egress: new GuardedEgress(this.options.egressAllow ?? []),
      log: pino({ level: 'silent' }),
    });
    try {
      await mkdir(folder, { recursive: true });
      const found = await images.check(order, onProgress, signal);
      await rm(join(folder, found.sha256), { force: true });
      return found;
    } finally {
      await images.close();
    }
  }

  async openConsole(identity: DomainIdentity, kind: ConsoleKind): Promise<Duplex> {
    if (!(await misbehave('openConsole', this.misbehaviours.openConsole))) return new PassThrough();
    const domain = this.find(identity);
    if (domain?.state !== 'running') throw new HypervisorError('The virtual machine does not run on its node.', false);
    const console = kind === 'vnc' ? new SimulatedScreen(domain.name ?? domain.vmUuid) : new SimulatedSerialLine(simulatedConsole(domain));
    this.consoles.add(console);
    console.once('close', () => this.consoles.delete(console));
    return console;
  }

  guardStarts(mayRun: () => void): void {
    this.mayRun = mayRun;
  }

  async fence(): Promise<void> {
    await fenceSimulatedGuests(dirname(this.options.journalPath));
    await this.unfence();
  }

  async unfence(): Promise<void> {
    this.domains = await this.journal.reread();
  }

  async counters(): Promise<readonly GuestCounters[]> {
    if (!(await misbehave('counters', this.misbehaviours.counters))) return [];
    const seconds = (performance.now() - this.openedAt) / 1000;
    return [...this.domains.values()].filter(({ state }) => state === 'running').map((domain) => simulatedCounters(domain, seconds));
  }

  onPowerChange(listener: (change: PowerChange) => void): void {
    this.listeners.push(listener);
  }

  /** As if the guest had shut itself down. */
  async guestPowersOff(identity: DomainIdentity): Promise<void> {
    await this.tamper(identity, { state: 'stopped', shutDown: true });
    for (const listener of this.listeners) listener({ ...pick(identity), state: 'stopped', shutDown: true });
  }

  /** As if somebody had changed the domain behind our back. */
  async tamper(identity: DomainIdentity, change: Tampering): Promise<void> {
    const domain = this.find(identity);
    if (!domain) throw new Error(`There is no domain of ${identity.vmUuid} to tamper with.`);
    await this.put({ ...domain, ...change });
  }

  /** The domain as it is, for tests that look at what it was made of. */
  domain(identity: DomainIdentity): SimulatedDomain | undefined {
    return this.find(identity);
  }

  /** What the domain has, what it boots from first; undefined when there is no domain. */
  volumesOf(identity: DomainIdentity): readonly VolumeUuid[] | undefined {
    const domain = this.find(identity);
    return domain && (domain.volumes ?? []);
  }

  private holderOf(uuid: VolumeUuid): SimulatedDomain | undefined {
    return [...this.domains.values()].find(({ volumes }) => volumes?.includes(uuid));
  }

  private find({ vmUuid, incarnationId }: DomainIdentity): SimulatedDomain | undefined {
    const domain = this.domains.get(vmUuid);
    return domain?.incarnationId === incarnationId && isDefined(domain) ? domain : undefined;
  }

  private async change(identity: DomainIdentity, state: SimulatedDomain['state']): Promise<void> {
    const domain = this.find(identity);
    if (domain && domain.state !== state) await this.put({ ...domain, state, paused: undefined, shutDown: undefined });
  }

  private async changeGuestNetwork(domain: SimulatedDomain, { floatingIp, rules }: VmSpec): Promise<void> {
    const { hardware } = domain;
    if (hardware && !isDeepStrictEqual([hardware.floatingIp, hardware.rules], [floatingIp, rules]))
      await this.put({ ...domain, hardware: { ...hardware, floatingIp, rules } });
  }

  private async put(domain: SimulatedDomain): Promise<void> {
    // Also when it ran before: the watchdog may have stopped it behind this process's back.
    if (domain.state === 'running') this.mayRun();
    this.domains.set(domain.vmUuid, domain);
    await this.journal.append(domain);
  }
}

/** What can be done to a domain beside Baton. */
export type Tampering = Partial<Pick<SimulatedDomain, 'state' | 'paused' | 'shutDown' | 'diskMissing' | 'undefined'>>;

const isDefined = (domain: SimulatedDomain): boolean => domain.undefined !== true;

const listed = ({ vmUuid, incarnationId, state, paused, shutDown, diskMissing }: SimulatedDomain): InventoryItem => ({
  vmUuid,
  incarnationId,
  state,
  ...(paused && { paused }),
  ...(shutDown && { shutDown }),
  ...(diskMissing && { diskMissing }),
});

const diskIsMissing = (): HypervisorError =>
  new HypervisorError('The disk of the virtual machine is missing on its node. It was not replaced by an empty one.', false);

const pick = ({ vmUuid, incarnationId }: DomainIdentity): DomainIdentity => ({ vmUuid, incarnationId });

const madeOf = ({
  name, vcpus, memoryMib, diskGib, gpu, network, floatingIp, rules, resizes, resets = 0, autoRecover,
}: VmSpec): Pick<SimulatedDomain, 'name' | 'fixedIp' | 'resets' | 'hardware' | 'autoRecover'> => ({
  name,
  fixedIp: network.address,
  resets,
  ...(autoRecover === true && { autoRecover }),
  hardware: { vcpus, memoryMib, diskGib, gpu, floatingIp, rules, resizes },
});
