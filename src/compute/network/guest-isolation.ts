/**
 * Makes the host answer for guests to their neighbours. Taps are isolated ports of the bridge: frames of one guest
 * reach only the host. With this, the host says that every address of the subnet is to be found at its own, so that
 * guests on one bridge talk to each other by routing, where connections are tracked and security rules hold.
 *
 * Touches the settings of the node's own bridge and of nothing else on the host.
 */
import { writeFile } from 'node:fs/promises';
import { HypervisorError } from '../hypervisor/hypervisor.js';

/** @throws HypervisorError when the kernel does not let us. */
export async function letHostAnswerForGuests(bridge: string): Promise<void> {
  const settings = [
    [`conf/${bridge}/proxy_arp_pvlan`, '1'],
    // Otherwise the kernel waits up to a second before it answers.
    [`neigh/${bridge}/proxy_delay`, '0'],
  ] as const;
  for (const [setting, value] of settings) {
    try {
      await writeFile(`/proc/sys/net/ipv4/${setting}`, value);
    } catch (error) {
      throw new HypervisorError(`The compute node's bridge cannot be prepared: net/ipv4/${setting} cannot be set.`, true, { cause: error });
    }
  }
}
