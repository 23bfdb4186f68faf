/**
 * What a test's compute node has on the host: libvirt's daemons, where nobody else started them, the settings of a
 * worker that shares nothing with others, what a VM leaves in libvirt and in the kernel, and the removal of it all.
 */
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pino } from 'pino';
import type { LibvirtDaemons } from '../../src/compute/hypervisor/libvirt/daemons.js';
import type { LibvirtHypervisor } from '../../src/compute/hypervisor/libvirt/libvirt-hypervisor.js';
import { networkName } from '../../src/compute/network/network-document.js';
import { bridgeOf } from '../../src/compute/network/subnet.js';
import { loadConfig } from '../../src/config/load.js';
import type { InstanceFields } from '../../src/conductor/virtual-machines/vm.responses.js';
import type { IncarnationId } from '../../src/protocol/ids.js';

const run = promisify(execFile);
/** Of a cloud's first environment. */
const SUBNET = '10.128.0.0/20';
const NETWORK = networkName(SUBNET);
const LIBVIRT = ['-c', 'qemu:///system'];

/** The built program: libvirt's thread is a file of its own there. */
const built = <T>(file: string): Promise<T> => import(join(process.cwd(), 'dist/compute/hypervisor', file)) as Promise<T>;

export class LibvirtNode {
  readonly name = `real-${process.pid}`;
  readonly settings: Readonly<Record<string, string>>;
  private readonly table = `baton-${this.name}`;

  private constructor(
    readonly stateFolder: string,
    imageFolder: string,
    private readonly daemons: LibvirtDaemons,
  ) {
    this.settings = {
      BATON_HYPERVISOR: 'libvirt',
      BATON_ACCELERATION: 'auto',
      BATON_PROBE_GUEST: imageFolder,
    };
  }

  static async prepare(stateFolder: string, imageFolder: string): Promise<LibvirtNode> {
    await mkdir(stateFolder, { mode: 0o755 });
    const { ensureLibvirtDaemons } =
      await built<typeof import('../../src/compute/hypervisor/libvirt/daemons.js')>('libvirt/daemons.js');
    return new LibvirtNode(stateFolder, imageFolder, await ensureLibvirtDaemons());
  }

  /** What the host has of a VM, beside its files. */
  async traces({ uuid, fixed_ip: fixedIp, floating_ip: floatingIp }: InstanceFields): Promise<string[]> {
    const places: readonly (readonly [trace: string, text: string | null, program: string, args: readonly string[]])[] = [
      ['domain', uuid, 'virsh', [...LIBVIRT, 'list', '--all', '--uuid']],
      ['lease', `${fixedIp}/`, 'virsh', [...LIBVIRT, 'net-dhcp-leases', NETWORK]],
      ['host entry', `ip='${fixedIp}'`, 'virsh', [...LIBVIRT, 'net-dumpxml', NETWORK]],
      ['firewall rule', `: ${fixedIp}`, 'nft', ['list', 'table', 'ip', this.table]],
      ['floating address', floatingIp, 'ip', ['-4', '-o', 'address', 'show']],
      ['bridge', bridgeOf(SUBNET), 'ip', ['-o', 'link', 'show']],
    ];
    const found = await Promise.all(
      // A network or table that is not there is no trace.
      places.map(async ([trace, text, program, args]) => ((await run(program, args).catch(() => ({ stdout: '' }))).stdout.includes(text!) ? trace : [])),
    );
    return found.flat();
  }

  /** Removes guests, network and rules; call it after the worker has ended. */
  async destroy(): Promise<void> {
    const hypervisor = await this.hypervisor();
    await hypervisor.open();
    try {
      for (const { vmUuid, incarnationId } of await hypervisor.inventory())
        await hypervisor.remove({ vmUuid, incarnationId: incarnationId as IncarnationId });
      await hypervisor.network.destroy();
    } finally {
      await hypervisor.close();
      await this.daemons.stop();
    }
  }

  private async hypervisor(): Promise<LibvirtHypervisor> {
    const { chooseHypervisor } =
      await built<typeof import('../../src/compute/hypervisor/choose-hypervisor.js')>('choose-hypervisor.js');
    const config = loadConfig(['compute'], {}, { ...this.settings, BATON_STATE_FOLDER: this.stateFolder, BATON_ACCELERATION: 'tcg' });
    const nowhere = { url: config.conductorUrl, authorization: () => ({}) };
    return (await chooseHypervisor(config, this.name, nowhere, pino({ level: 'silent' }))) as LibvirtHypervisor;
  }
}
