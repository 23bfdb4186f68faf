/**
 * The floating addresses of this node's VMs, as /32 addresses on the node's bridge: the host then answers ARP for them
 * and needs no route to reach them itself. Translation happens before delivery, so nothing of the host listens there.
 *
 * Owns every /32 on the bridge and nothing else; an address that the host has elsewhere is refused, or a VM could take
 * the host's own address away from it.
 */
import { runCommand } from '../hypervisor/libvirt/host-command.js';
import { HypervisorError } from '../hypervisor/hypervisor.js';

const TIMEOUT_MS = 10_000;

interface Interface {
  readonly ifname: string;
  readonly addr_info: readonly { readonly family: string; readonly local: string; readonly prefixlen: number }[];
}

async function hostInterfaces(): Promise<readonly Interface[]> {
  const answer = await runCommand('ip', ['-j', '-4', 'address', 'show'], { timeoutMs: TIMEOUT_MS });
  return JSON.parse(answer || '[]') as Interface[];
}

/** @throws HypervisorError when the host uses the address itself. */
export async function refuseAddressOfHost(floatingIp: string, bridge: string): Promise<void> {
  for (const { ifname, addr_info: addresses } of await hostInterfaces()) {
    const isOurs = ({ prefixlen }: { prefixlen: number }) => ifname === bridge && prefixlen === 32;
    if (addresses.some((address) => address.local === floatingIp && !isOurs(address))) {
      throw new HypervisorError(`The floating address ${floatingIp} is in use by the compute node itself.`, false);
    }
  }
}

export async function syncFloatingAddresses(bridge: string, wanted: ReadonlySet<string>): Promise<void> {
  const interfaces = await hostInterfaces();
  const addresses = interfaces.find(({ ifname }) => ifname === bridge)?.addr_info ?? [];
  const present = new Set(addresses.filter(({ prefixlen }) => prefixlen === 32).map(({ local }) => local));
  const change = (verb: 'replace' | 'delete', address: string) =>
    runCommand('ip', ['address', verb, `${address}/32`, 'dev', bridge], { timeoutMs: TIMEOUT_MS });
  for (const address of wanted) if (!present.has(address)) await change('replace', address);
  for (const address of present) if (!wanted.has(address)) await change('delete', address);
}
