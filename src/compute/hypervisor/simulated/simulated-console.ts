/** What a simulated guest has written on its serial console: as if it had booted as often as it was made to. */
import type { SimulatedDomain } from './journal.js';

export function simulatedConsole({ vmUuid, name, fixedIp, resets }: SimulatedDomain): string {
  const host = name ?? vmUuid;
  const boot = [
    '[    0.000000] Booting a simulated guest',
    `[    0.100000] eth0: address ${fixedIp}`,
    `${host} login: `,
  ].join('\r\n');
  return Array.from({ length: resets + 1 }, () => `${boot}\r\n`).join('');
}
