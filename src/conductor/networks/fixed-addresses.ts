/**
 * Which address of its environment's subnet a VM gets.
 *
 * Candidates are numbered by one sequence for the whole cloud: requests at the same moment draw different numbers and so
 * different addresses, without a lock and without waiting for each other. What is taken already is passed over. Only
 * when the numbers have gone all the way round the subnet between a draw and its commit could two requests hold the same
 * address; the unique index refuses the second, which then draws again.
 */
import type { DataSource } from 'typeorm';
import type { EnvironmentId } from '../../protocol/ids.js';
import type { NetworkSpec } from '../../protocol/network.js';
import { ApiError } from '../http/api-error.js';

export const FIXED_IP_TAKEN = 'uq_virtual_machine_fixed_ip';

/** Neither the network nor the gateway, and not the broadcast address. */
const GUEST_ADDRESSES = '((1::bigint << (32 - masklen(e.subnet))) - 3)';
const FIRST_GUEST = '(set_masklen(e.subnet::inet, 32) + 2)';

/**
 * Looks whether the next address that is taken, from the candidate on, is the candidate. Asked by order and not by
 * equality alone: where the table has no statistics yet, PostgreSQL holds every index that begins with the environment
 * for equally good, and would read all its VMs.
 */
const isFree = (candidate: string): string => `
  (SELECT nullif(vm.fixed_ip = ${candidate}.address, false) FROM virtual_machine vm
    WHERE vm.environment_id = ${candidate}.environment_id AND vm.fixed_ip >= ${candidate}.address AND vm.deleted_at IS NULL
    ORDER BY vm.fixed_ip LIMIT 1) IS NULL`;

/**
 * An array of up to `count` free addresses of the only row of `environments`: fewer where most are taken, and one twice
 * where others draw at the same moment from a small subnet. `freeAddresses` has to settle both.
 */
export const drawAddresses = (environments: string, count: string): string => `
  ARRAY(SELECT host(c.address) FROM (
          SELECT e.id AS environment_id, ${FIRST_GUEST} + d.number % ${GUEST_ADDRESSES} AS address
            FROM ${environments} e,
                 LATERAL (SELECT nextval('fixed_ip_seq') AS number FROM generate_series(1, least(4 * ${count} + 16, ${GUEST_ADDRESSES}))) d) c
         WHERE ${isFree('c')} LIMIT ${count})`;

/** Looks at every address of the subnet. @throws ApiError 409 when fewer are free. */
export async function freeAddresses(
  dataSource: DataSource,
  environment: { readonly id: EnvironmentId; readonly name: string; readonly subnet: string },
  count: number,
): Promise<string[]> {
  // Any of them, or requests at the same moment would all take the first.
  const rows = await dataSource.query<{ address: string }[]>(
    `SELECT host(c.address) AS address FROM (
       SELECT e.id AS environment_id, ${FIRST_GUEST} + n AS address
         FROM environment e, generate_series(0, ${GUEST_ADDRESSES} - 1) n WHERE e.id = $1) c
      WHERE ${isFree('c')} ORDER BY random() LIMIT $2`,
    [environment.id, count],
  );
  if (rows.length < count)
    throw new ApiError(
      409,
      `The subnet ${environment.subnet} of environment ${environment.name} has ${rows.length} addresses free, and ${count} are needed. Delete VMs that are no longer needed, or create these in another environment.`,
      'no_capacity',
    );
  return rows.map(({ address }) => address);
}

/** Locally administered, so that it is no manufacturer's; what follows are the four octets of the address. */
const MAC_PREFIX = ['02', '00'];

export function networkSpec(subnet: string, address: string): NetworkSpec {
  const [network = ''] = subnet.split('/');
  return { address, mac: macOf(address), subnet, gateway: network.replace(/\d+$/, (last) => String(Number(last) + 1)) };
}

const macOf = (address: string): string =>
  [...MAC_PREFIX, ...address.split('.').map((octet) => Number(octet).toString(16).padStart(2, '0'))].join(':');
