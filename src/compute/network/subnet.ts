/**
 * Address arithmetic of a node's network: which addresses a subnet has, which one a VM gets, which MAC goes with it.
 *
 * Pure functions: what is taken is told by the caller, which holds the lock under which it is read and written.
 */
import { createHash } from 'node:crypto';

export interface Subnet {
  /** As configured: `192.168.123.0/24`. */
  readonly cidr: string;
  readonly network: number;
  readonly prefix: number;
}

/** The locally administered prefix that QEMU uses for its guests. */
const MAC_PREFIX = '52:54:00';

export function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.');
}

/** @throws RangeError when the text is not a dotted quad. */
export function parseAddress(text: string): number {
  const octets = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number);
  if (!octets || octets.some((octet) => octet > 255)) throw new RangeError(`'${text}' is not an IPv4 address`);
  return octets.reduce((address, octet) => address * 256 + octet, 0);
}

/** @throws RangeError with what is wrong about the text. */
export function parseSubnet(cidr: string): Subnet {
  const [address = '', length = ''] = cidr.split('/');
  const prefix = Number(length);
  if (!/^\d{1,2}$/.test(length) || prefix < 8 || prefix > 29) {
    throw new RangeError(`subnet '${cidr}': the prefix length must be between 8 and 29, as in 192.168.123.0/24`);
  }
  const network = parseAddress(address);
  if (network % 2 ** (32 - prefix) !== 0) {
    throw new RangeError(`subnet '${cidr}': ${address} has bits set behind the prefix`);
  }
  return { cidr, network, prefix };
}

export function netmaskOf(subnet: Subnet): string {
  return formatAddress(2 ** 32 - 2 ** (32 - subnet.prefix));
}

/** The host's own address on the bridge: the first one of the subnet. */
export function gatewayOf(subnet: Subnet): string {
  return formatAddress(subnet.network + 1);
}

/** The first address that is neither the network, the gateway, the broadcast address nor taken. */
export function firstFreeAddress(subnet: Subnet, taken: ReadonlySet<string>): string | undefined {
  const broadcast = subnet.network + 2 ** (32 - subnet.prefix) - 1;
  for (let candidate = subnet.network + 2; candidate < broadcast; candidate++) {
    const address = formatAddress(candidate);
    if (!taken.has(address)) return address;
  }
  return undefined;
}

/** The same VM has the same MAC wherever and whenever it lives, so the guest's configuration stays valid. */
export function macOf(vmUuid: string): string {
  const digest = createHash('sha256').update(vmUuid).digest('hex');
  return [MAC_PREFIX, digest.slice(0, 2), digest.slice(2, 4), digest.slice(4, 6)].join(':');
}

/** The VM's interface on the host, known before it is there; at most 15 characters, and no name that libvirt gives. */
export function tapOf(vmUuid: string): string {
  return `bt-${createHash('sha256').update(vmUuid).digest('hex').slice(0, 12)}`;
}
