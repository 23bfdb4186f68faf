/**
 * Tells the node's DHCP server that a guest needs its address no longer. A guest that is powered off cannot say so
 * itself, and the server would keep the address for it until the lease ends.
 *
 * The host speaks in the guest's name: a DHCPRELEASE (RFC 2131) to the server's own address. There is no answer to
 * it, and one that comes too late or twice is ignored by the server.
 */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { parseAddress } from './subnet.js';

export interface DhcpRelease {
  /** The server's address on the guests' network. */
  readonly server: string;
  readonly mac: string;
  readonly address: string;
}

const SERVER_PORT = 67;
const BOOT_REQUEST = 1;
const ETHERNET = 1;
const ETHERNET_ADDRESS_BYTES = 6;
const FIXED_FIELDS_BYTES = 236;
const MAGIC_COOKIE = [99, 130, 83, 99];
const MESSAGE_TYPE = { option: 53, release: 7 } as const;
const SERVER_IDENTIFIER = 54;
const END = 255;

export async function sendDhcpRelease(release: DhcpRelease): Promise<void> {
  const socket = createSocket('udp4');
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.send(encodeRelease(release), SERVER_PORT, release.server, (error) => (error ? reject(error) : resolve()));
    });
  } finally {
    socket.close();
  }
}

export function encodeRelease({ server, mac, address }: DhcpRelease): Buffer {
  const fixed = Buffer.alloc(FIXED_FIELDS_BYTES);
  fixed.set([BOOT_REQUEST, ETHERNET, ETHERNET_ADDRESS_BYTES], 0);
  fixed.writeUInt32BE(randomInt(2 ** 32), 4);
  fixed.writeUInt32BE(parseAddress(address), 12);
  fixed.set(Buffer.from(mac.replaceAll(':', ''), 'hex'), 28);
  const identifier = Buffer.alloc(4);
  identifier.writeUInt32BE(parseAddress(server));
  const options = [MESSAGE_TYPE.option, 1, MESSAGE_TYPE.release, SERVER_IDENTIFIER, 4, ...identifier, END];
  return Buffer.concat([fixed, Buffer.from([...MAGIC_COOKIE, ...options])]);
}
