/**
 * The GPUs of this host: which there are, and who has them. Nothing is remembered here. What is there is asked of libvirt
 * each time, and who has what stands in the domains, so a worker that was started anew knows as much as the one before.
 *
 * One VM at a time is given devices (`claim`), so that no two are given the same one. A domain that is none of ours,
 * running or not, keeps what its document names.
 */
import type { Logger } from 'pino';
import type { GpuInventory } from '../../../protocol/node.js';
import type { GpuSpec } from '../../../protocol/task.js';
import { SerialQueue } from '../../network/serial-queue.js';
import type { LibvirtConnection } from './connection.js';
import { chooseGpus, countByModel, gpusIn, hostDevicesIn, offeredOf, unanswered, type OfferedGpu } from './gpu-devices.js';
import type { GpuRule } from './options.js';

/** What a domain of ours holds: its metadata says so, whatever its document still names. */
export interface GpuHolder {
  readonly uuid: string;
  readonly gpuAddresses: readonly string[];
}

export class HostGpus {
  private readonly claims = new SerialQueue();

  constructor(
    private readonly connection: Pick<LibvirtConnection, 'call'>,
    private readonly rules: readonly GpuRule[],
    private readonly log: Logger,
  ) {}

  /** How many of each model Baton may give away, to whomever it gave them. */
  async inventory(own: readonly GpuHolder[]): Promise<GpuInventory[]> {
    if (this.rules.length === 0) return [];
    const offered = await this.offered();
    const present = new Set(offered.map(({ pciAddress }) => pciAddress));
    for (const { uuid, gpuAddresses } of own) {
      const gone = gpuAddresses.filter((address) => !present.has(address));
      if (gone.length > 0) this.log.error({ vm: uuid, gpus: gone }, 'a virtual machine has a GPU that the host no longer has');
    }
    return countByModel(offered, await this.heldByStrangers(own));
  }

  /**
   * `use` makes the domain with the devices that it is given; only then the next one is given any.
   * @throws HypervisorError when there are not enough.
   */
  async claim(
    vmUuid: string,
    wanted: GpuSpec,
    own: () => Promise<readonly GpuHolder[]>,
    use: (addresses: readonly string[]) => Promise<void>,
  ): Promise<void> {
    await this.claims.run(async () => {
      const holders = await own();
      const inUse = await this.heldByStrangers(holders);
      for (const { uuid, gpuAddresses } of holders) if (uuid !== vmUuid) gpuAddresses.forEach((address) => inUse.add(address));
      const had = holders.find(({ uuid }) => uuid === vmUuid)?.gpuAddresses ?? [];
      await use(chooseGpus(await this.offered(), wanted, had, inUse));
    });
  }

  private async offered(): Promise<OfferedGpu[]> {
    const present = gpusIn(await this.connection.call('pciDeviceDocuments'));
    for (const problem of unanswered(this.rules, present)) this.log.warn({ problem }, 'a GPU of BATON_GPUS cannot be offered');
    return offeredOf(this.rules, present);
  }

  /** As they are now and as they will be when they are next started. */
  private async heldByStrangers(own: readonly GpuHolder[]): Promise<Set<string>> {
    const strangers = (await this.connection.call('listDomains')).filter(({ uuid }) => !own.some((holder) => holder.uuid === uuid));
    const held = new Set<string>();
    for (const { uuid } of strangers)
      for (const form of ['live', 'config'] as const) {
        const document = await this.connection.call('domainDocument', uuid, form);
        if (document !== undefined) hostDevicesIn(document).forEach((address) => held.add(address));
      }
    return held;
  }
}
