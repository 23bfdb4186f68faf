/** Networks for a test on this host: names and addresses that a second run beside this one is unlikely to have. */
import type { NodeNetworkOptions } from '../../src/compute/network/node-network.js';
import { networkSpec } from '../../src/conductor/networks/fixed-addresses.js';
import type { NetworkSpec } from '../../src/protocol/network.js';

const OCTET = 30 + (process.pid % 200);

/** Of the node, for its guests. */
export const METADATA_ADDRESS = `169.254.${OCTET}.1`;

export const nodeNetwork = (node: string, metadataPort: number): NodeNetworkOptions => ({
  table: `baton-${node}`,
  interface: `bx${node.replaceAll(/[^a-z0-9]/g, '')}`.slice(0, 15),
  metadataAddress: METADATA_ADDRESS,
  metadataPort,
});

export const subnetOf = (environment: number): string => `10.${250 - environment}.${OCTET}.0/24`;

/** What the conductor would assign to the VM with that number in its environment; the first has 2. */
export const place = (number: number, environment = 0): NetworkSpec =>
  networkSpec(subnetOf(environment), subnetOf(environment).replace(/0\/24$/, String(number)));
