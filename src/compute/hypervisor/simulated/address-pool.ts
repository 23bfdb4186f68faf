/**
 * Addresses of simulated guests: from the node's subnet while it lasts, then from 10.0.0.0/8, which is never all taken.
 * An address is in use by one domain at most; one that was given back is not given out again until the range has gone
 * round, as with real leases.
 */
import { formatAddress, parseAddress, parseSubnet } from '../../network/subnet.js';

const OVERFLOW = '10.0.0.0/8';

class AddressRange {
  private readonly taken = new Set<number>();
  /** The network, the gateway and the broadcast address are nobody's. */
  private readonly first: number;
  private readonly size: number;
  private next = 0;

  constructor(cidr: string) {
    const { network, prefix } = parseSubnet(cidr);
    this.first = network + 2;
    this.size = 2 ** (32 - prefix) - 3;
  }

  get full(): boolean {
    return this.taken.size >= this.size;
  }

  contains(address: number): boolean {
    return address >= this.first && address < this.first + this.size;
  }

  occupy(address: number): void {
    this.taken.add(address);
  }

  take(): number {
    let address: number;
    do {
      address = this.first + this.next;
      this.next = (this.next + 1) % this.size;
    } while (this.taken.has(address));
    this.taken.add(address);
    return address;
  }

  release(address: number): void {
    this.taken.delete(address);
  }
}

export class AddressPool {
  private readonly ranges: readonly AddressRange[];

  constructor(cidr: string) {
    this.ranges = [new AddressRange(cidr), new AddressRange(OVERFLOW)];
  }

  /** For an address that a domain brought along from before the restart. */
  occupy(text: string): void {
    const address = parseAddress(text);
    for (const range of this.ranges) if (range.contains(address)) range.occupy(address);
  }

  take(): string {
    const range = this.ranges.find(({ full }) => !full);
    if (!range) throw new Error('all addresses of the simulated network are taken');
    const text = formatAddress(range.take());
    // Where the node's subnet lies within 10.0.0.0/8, both ranges must know.
    this.occupy(text);
    return text;
  }

  release(text: string): void {
    const address = parseAddress(text);
    for (const range of this.ranges) range.release(address);
  }
}
