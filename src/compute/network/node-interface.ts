/**
 * The node's own interface: a bridge without ports that holds, as /32 addresses, the floating addresses of this node's
 * VMs and the address of the metadata service. The host then answers ARP for them and needs no route to reach them
 * itself. Floating ones are translated before delivery, so nothing of the host listens there.
 *
 * Owns every /32 on that interface and nothing else; an address that the host has elsewhere is refused, or a VM could
 * take the host's own address away from it.
 */
import { existsSync } from 'node:fs';
import { runCommand } from '../hypervisor/libvirt/host-command.js';
import { HypervisorError } from '../hypervisor/hypervisor.js';

const TIMEOUT_MS = 10_000;

interface Interface {
  readonly ifname: string;
  readonly addr_info: readonly { readonly family: string; readonly local: string; readonly prefixlen: number }[];
}

const ip = (...args: string[]): Promise<string> => runCommand('ip', args, { timeoutMs: TIMEOUT_MS });

const hostInterfaces = async (): Promise<readonly Interface[]> =>
  JSON.parse((await ip('-j', '-4', 'address', 'show')) || '[]') as Interface[];

/** Not asked of `ip`, which keeps quiet of interfaces without an address. */
const exists = (name: string): boolean => existsSync(`/sys/class/net/${name}`);

export async function makeNodeInterface(name: string): Promise<void> {
  if (!exists(name)) await ip('link', 'add', name, 'type', 'bridge');
  await ip('link', 'set', name, 'up');
}

export async function deleteNodeInterface(name: string): Promise<void> {
  if (exists(name)) await ip('link', 'delete', name);
}

/** @throws HypervisorError when the host uses the address itself. */
export async function refuseAddressOfHost(floatingIp: string, nodeInterface: string): Promise<void> {
  for (const { ifname, addr_info: addresses } of await hostInterfaces())
    if (ifname !== nodeInterface && addresses.some(({ local }) => local === floatingIp))
      throw new HypervisorError(`The floating address ${floatingIp} is in use by the compute node itself.`, false);
}

export async function syncHostAddresses(nodeInterface: string, wanted: ReadonlySet<string>): Promise<void> {
  const interfaces = await hostInterfaces();
  const addresses = interfaces.find(({ ifname }) => ifname === nodeInterface)?.addr_info ?? [];
  const present = new Set(addresses.filter(({ prefixlen }) => prefixlen === 32).map(({ local }) => local));
  for (const address of wanted) if (!present.has(address)) await ip('address', 'replace', `${address}/32`, 'dev', nodeInterface);
  for (const address of present) if (!wanted.has(address)) await ip('address', 'delete', `${address}/32`, 'dev', nodeInterface);
}
