/**
 * Which of the host's domains are this node's: those whose metadata name it. Nothing is kept here; each question is put
 * to libvirt. Whatever else is on the host is neither listed nor touched.
 */
import type { IncarnationId, VmUuid } from '../../../protocol/ids.js';
import { HypervisorError, type DomainIdentity, type MetadataSeed } from '../hypervisor.js';
import type { DomainRecord } from './calls.js';
import type { LibvirtConnection } from './connection.js';
import { metadataTokenIn, parseInstance, type InstanceMetadata } from './domain-document.js';
import type { GpuHolder } from './host-gpus.js';
import type { Observation } from './power-watch.js';

export interface OwnDomain extends DomainRecord {
  readonly instance: InstanceMetadata;
}

export class OwnDomains {
  constructor(
    private readonly connection: Pick<LibvirtConnection, 'call'>,
    private readonly node: string,
  ) {}

  async all(): Promise<OwnDomain[]> {
    return (await this.connection.call('listDomains')).flatMap((record) => this.asOwn(record) ?? []);
  }

  /** The domain of that life of the VM. */
  async find({ vmUuid, incarnationId }: DomainIdentity): Promise<OwnDomain | undefined> {
    const own = await this.byUuid(vmUuid);
    return own?.instance.incarnationId === incarnationId ? own : undefined;
  }

  /** Of any life; undefined also when it is somebody else's. */
  async byUuid(uuid: string): Promise<OwnDomain | undefined> {
    const record = await this.connection.call('domain', uuid);
    return record && this.asOwn(record);
  }

  /** The domain of any life of the VM on this node. @throws HypervisorError when the UUID is somebody else's. */
  async ofAnyLife(vmUuid: VmUuid): Promise<OwnDomain | undefined> {
    const record = await this.connection.call('domain', vmUuid);
    if (!record) return undefined;
    const own = this.asOwn(record);
    if (own) return own;
    const owner = parseInstance(record.metadata)?.node;
    throw new HypervisorError(
      owner
        ? `A former life of the virtual machine is still on the node '${owner}' of the same host.`
        : 'The host has a domain with the UUID of the virtual machine that Baton did not make.',
      owner !== undefined,
    );
  }

  /** Of all workers' guests on this host: they share the networks. */
  async cardsOnHost(): Promise<Set<string>> {
    const domains = await this.connection.call('listDomains');
    return new Set(domains.flatMap(({ metadata }) => parseInstance(metadata)?.network?.mac ?? []));
  }

  /** Of the guest that has the fixed address; undefined when it is none of this node's. */
  async seedAt(address: string): Promise<MetadataSeed | undefined> {
    const domain = (await this.all()).find(({ instance }) => instance.network?.address === address);
    const document = domain && (await this.connection.call('domainDocument', domain.uuid, 'live'));
    const token = document && metadataTokenIn(document);
    return token ? { vmUuid: domain.uuid as VmUuid, token } : undefined;
  }

  async gpuHolders(): Promise<GpuHolder[]> {
    return (await this.all()).map(({ uuid, instance: { gpuAddresses } }) => ({ uuid, gpuAddresses }));
  }

  private asOwn(record: DomainRecord): OwnDomain | undefined {
    const instance = parseInstance(record.metadata);
    return instance?.node === this.node ? { ...record, instance } : undefined;
  }
}

export function identityOf({ uuid, instance }: OwnDomain): DomainIdentity {
  return { vmUuid: uuid as VmUuid, incarnationId: instance.incarnationId as IncarnationId };
}

export function observationOf(domain: OwnDomain): Observation {
  return { identity: identityOf(domain), state: domain.state, shutDown: domain.shutDown };
}
