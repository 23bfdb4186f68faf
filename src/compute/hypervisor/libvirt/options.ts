/** What the libvirt adapter must be told. Everything has a meaning for one compute node; nothing is read from outside. */
import type { Logger } from 'pino';
import type { GuardedEgress } from '../../../egress/guarded-egress.js';
import type { NodeNetworkOptions } from '../../network/node-network.js';
import type { ProbeGuest } from './acceleration-probe.js';

/** Which devices of the host are GPUs of a model: the one at a PCI address, or all of one vendor and product. */
export type GpuRule =
  | { readonly model: string; readonly pciAddress: string }
  | { readonly model: string; readonly pciProduct: string };

export interface LibvirtHypervisorOptions {
  /** The compute node's name: written into each domain, and only domains with it are ours. */
  readonly node: string;
  /** Default: `qemu:///system`. */
  readonly uri?: string;
  /** Base images, disks and console logs of this node. QEMU's user must be able to reach it. */
  readonly dataFolder: string;
  readonly network: NodeNetworkOptions;
  /** What relative image URLs are resolved against, and the headers that show the node's key there. */
  readonly conductorUrl: string;
  readonly conductorHeaders: () => Record<string, string>;
  /** How images from elsewhere are reached. Default: public addresses only. */
  readonly egress?: GuardedEgress;
  /** Bytes of image files beyond which those that no disk stands on go. Default: 50 GiB. */
  readonly imageCacheBytes?: number;
  /** `probe` (default) boots a guest to find out. */
  readonly acceleration?: 'probe' | 'kvm' | 'tcg';
  /** What the probe boots; without it guests are emulated. */
  readonly probeGuest?: ProbeGuest;
  /** What may be given to VMs. Default: nothing. */
  readonly gpus?: readonly GpuRule[];
  /** How long a guest may take to shut down by itself before it is powered off. Default: 30 s. */
  readonly shutdownTimeoutMs?: number;
  readonly log: Logger;
}
