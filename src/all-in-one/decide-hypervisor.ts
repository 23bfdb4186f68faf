/**
 * Which hypervisor the cloud gets, and why, in words for whoever started it. What a cloud was made with it keeps:
 * its machines exist there and nowhere else. The decision is pure; what it asks of the host comes in.
 */
export type HypervisorName = 'libvirt' | 'simulated';
export type HypervisorWish = HypervisorName | 'auto';

export interface HostFacts {
  readonly root: boolean;
  readonly missingPrograms: readonly string[];
  /** Why libvirt cannot be installed here, if it cannot. */
  readonly installationObstacle: string | undefined;
  readonly installationAllowed: boolean;
}

export interface Decision {
  readonly hypervisor: HypervisorName;
  /** For `simulated`: why there are no real guests, and what would change it. */
  readonly reason?: string;
  readonly install: boolean;
}

export function decideHypervisor(wish: HypervisorWish, madeWith: HypervisorName | undefined, host: HostFacts): Decision {
  if (madeWith !== undefined && wish !== 'auto' && wish !== madeWith)
    throw new Error(
      `This cloud was made with the ${madeWith} hypervisor, and its virtual machines exist only there. ` +
        `Keep it (without --hypervisor), or start anew: bin/up --hypervisor ${wish} --fresh`,
    );
  const chosen = madeWith ?? wish;
  if (chosen === 'simulated') return simulated(madeWith === undefined ? 'it was asked for.' : 'this cloud was made with it. To change it: bin/up --fresh');
  const problem = obstacle(host);
  if (problem === undefined) return { hypervisor: 'libvirt', install: host.missingPrograms.length > 0 };
  if (chosen === 'libvirt') throw new Error(`Real guests are not possible: ${problem}`);
  return simulated(problem);
}

const simulated = (reason: string): Decision => ({ hypervisor: 'simulated', reason, install: false });

function obstacle({ root, missingPrograms, installationObstacle, installationAllowed }: HostFacts): string | undefined {
  if (!root) return 'libvirt networks and firewalls need root. To change it: sudo bin/up --fresh';
  if (missingPrograms.length === 0) return undefined;
  const missing = `${missingPrograms.join(', ')} ${missingPrograms.length === 1 ? 'is' : 'are'} missing`;
  if (installationObstacle !== undefined) return `${missing}, and ${installationObstacle}.`;
  if (!installationAllowed) return `${missing}, and --no-install forbids installing. To change it: bin/up --fresh`;
  return undefined;
}
