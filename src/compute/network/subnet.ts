/** What a node derives from addresses and subnets: pure arithmetic, and the names of interfaces. */
import { createHash } from 'node:crypto';

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
export function parseSubnet(cidr: string): { readonly network: number; readonly prefix: number } {
  const [address = '', length = ''] = cidr.split('/');
  const prefix = Number(length);
  if (!/^\d{1,2}$/.test(length) || prefix < 8 || prefix > 29) {
    throw new RangeError(`subnet '${cidr}': the prefix length must be between 8 and 29, as in 10.128.0.0/20`);
  }
  const network = parseAddress(address);
  if (network % 2 ** (32 - prefix) !== 0) {
    throw new RangeError(`subnet '${cidr}': ${address} has bits set behind the prefix`);
  }
  return { network, prefix };
}

export function netmaskOf(cidr: string): string {
  return formatAddress(2 ** 32 - 2 ** (32 - parseSubnet(cidr).prefix));
}

/** All bridges of environments, of whichever worker of the host, as nftables matches them. */
export const ANY_BRIDGE = 'benv-*';

/** The environment's bridge; the kernel allows 15 characters. Subnets are unique in the cloud, hence their bridges on a host. */
export function bridgeOf(cidr: string): string {
  return `benv-${parseSubnet(cidr).network.toString(16).padStart(8, '0')}`;
}

/** The VM's interface on the host, known before it is there; at most 15 characters, and no name that libvirt gives. */
export function tapOf(vmUuid: string): string {
  return `bt-${createHash('sha256').update(vmUuid).digest('hex').slice(0, 12)}`;
}
