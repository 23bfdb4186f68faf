/**
 * The hypervisor that the configuration names. libvirt's adapter is loaded only when it is chosen: the import alone
 * needs libvirt's library, which a host with the simulated one does not have.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from '../../config/settings.js';
import { GuardedEgress } from '../../egress/guarded-egress.js';
import type { ConductorClient } from '../uplink/conductor-client.js';
import type { Hypervisor } from './hypervisor.js';
import type { GpuRule } from './libvirt/options.js';
import { SimulatedHypervisor } from './simulated/simulated-hypervisor.js';

export async function chooseHypervisor(
  config: Config,
  nodeName: string,
  conductor: Pick<ConductorClient, 'url' | 'authorization'>,
  logger: Logger,
): Promise<Hypervisor> {
  switch (config.hypervisor) {
    case 'simulated':
      return SimulatedHypervisor.fromConfig(config);
    case 'libvirt': {
      const { LibvirtHypervisor } = await import('./libvirt/libvirt-hypervisor.js');
      return new LibvirtHypervisor({
        node: nodeName,
        dataFolder: config.stateFolder,
        network: {
          table: `baton-${nodeName}`.slice(0, 63),
          interface: interfaceOf(nodeName),
          metadataAddress: config.metadataAddress,
          metadataPort: config.metadataPort,
        },
        conductorUrl: conductor.url,
        conductorHeaders: () => conductor.authorization(),
        egress: new GuardedEgress(config.egressAllow),
        imageCacheBytes: config.imageCacheGib * 2 ** 30,
        acceleration: config.acceleration === 'auto' ? 'probe' : config.acceleration,
        ...(config.probeGuest !== undefined && {
          probeGuest: { kernel: join(config.probeGuest, 'vmlinuz'), initrd: join(config.probeGuest, 'initrd.img') },
        }),
        gpus: config.gpus.filter((gpu): gpu is GpuRule => !('count' in gpu)),
        log: logger,
      });
    }
  }
}

/** The kernel allows interface names of 15 characters; node names have up to 63. */
function interfaceOf(nodeName: string): string {
  return `bnode-${createHash('sha256').update(nodeName).digest('hex').slice(0, 8)}`;
}
