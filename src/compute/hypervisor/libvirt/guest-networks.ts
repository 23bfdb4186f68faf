/**
 * Brings the node's networks and firewall in step with what its domains remember of theirs. The domains' metadata is the
 * only list: it is changed first, and everything else follows from it, also after a crash in between.
 */
import type { VmSpec } from '../../../protocol/task.js';
import { DEFAULT_RULES } from '../../../protocol/security-rule.js';
import { refuseAddressOfHost } from '../../network/node-interface.js';
import type { NodeNetwork } from '../../network/node-network.js';
import { refuseUnreadable } from '../../network/security-rules.js';
import type { LibvirtConnection } from './connection.js';
import { instanceXml } from './domain-document.js';
import type { OwnDomain, OwnDomains } from './own-domains.js';

export class GuestNetworks {
  constructor(
    private readonly network: NodeNetwork,
    private readonly domains: OwnDomains,
    private readonly connection: Pick<LibvirtConnection, 'call'>,
    private readonly nodeInterface: string,
  ) {}

  async prepare(): Promise<void> {
    await this.network.prepare(() => this.domains.cardsOnHost());
    await this.apply();
  }

  apply(): Promise<void> {
    return this.network.apply(async () =>
      (await this.domains.all()).flatMap(({ uuid, instance: { network, floatingIp, rules = DEFAULT_RULES } }) =>
        network ? [{ vmUuid: uuid, network, floatingIp, rules }] : [],
      ),
    );
  }

  /** @throws HypervisorError when the host could not keep to it. */
  async refuseUnfit({ floatingIp, rules }: Pick<VmSpec, 'floatingIp' | 'rules'>): Promise<void> {
    refuseUnreadable(rules);
    if (floatingIp) await refuseAddressOfHost(floatingIp, this.nodeInterface);
  }

  /** Floating address and rules of a guest, whether it runs or not. */
  async change({ uuid, instance }: OwnDomain, { floatingIp, rules }: VmSpec): Promise<void> {
    const changed = instanceXml({ ...instance, floatingIp, rules });
    if (changed !== instanceXml(instance)) {
      await this.refuseUnfit({ floatingIp: floatingIp === instance.floatingIp ? undefined : floatingIp, rules });
      await this.connection.call('setMetadata', uuid, changed);
    }
    await this.apply();
  }
}
