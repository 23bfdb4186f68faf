/**
 * What the connection thread does for the adapter: one function for each thing asked of libvirt, in terms of names
 * and UUIDs, so that no handle ever leaves the thread.
 *
 * Two kinds. Quick calls are synchronous on the thread's own connection, which makes the last error right. Long calls
 * (they wait for QEMU, sometimes for many seconds) run on koffi's threads, each on a connection that nobody else
 * uses meanwhile: its error slot is theirs alone, and everything quick goes on beside them.
 */
import type { Handle, Libvirt, LibvirtError } from './bindings.js';
import type { DomainStatistics } from './domain-statistics.js';

export const METADATA_NAMESPACE = 'https://baton.dev/xmlns/instance/1';
export const METADATA_PREFIX = 'baton';

/** As virDomainState says; whatever holds a QEMU process counts as running. */
const RUNNING_STATES = new Set([1, 2, 3, 4, 7]);
const PAUSED = 3;
/** As virDomainPausedReason says: libvirt itself is at work on it, and lets it go on. */
const PAUSED_IN_PASSING = new Set([2, 3, 4, 8, 9, 11, 12]);
const SHUT_OFF = 5;
const SHUT_DOWN_BY_GUEST = 1;
const METADATA_ELEMENT = 2;
const BLOCK_RESIZE_BYTES = 1;
const AFFECT_LIVE = 1;
const AFFECT_CONFIG = 2;
const XML_INACTIVE = 2;
const UNDEFINE_MANAGED_SAVE_SNAPSHOTS_NVRAM_CHECKPOINTS = 1 | 2 | 4 | 16;
const SHUTDOWN_ACPI = 1;
const FIRST_DISPLAY = 0;
const STATISTICS = { cpu: 2, balloon: 4, interfaces: 16, blocks: 32 } as const;
const ACTIVE_NOWAIT = 1 | (1 << 29);
const NETWORK_UPDATE = { add: 3, remove: 2, section: 4, liveAndConfig: 3 } as const;
const LIBVIRT_NO_SUCH = { domain: 42, network: 43, backup: 104 } as const;
const INVALID_OPERATION = 55;
const STATS_OF_COMPLETED_JOB = 1;
const JOB_COMPLETED = 3;
const LIST_PCI_DEVICES = 2;
const UUID_BUFFER_BYTES = 37;

export interface DomainRecord {
  readonly uuid: string;
  readonly name: string;
  /** `hibernated`: off, with its memory saved. */
  readonly state: 'running' | 'stopped' | 'hibernated';
  readonly paused?: true;
  /** The guest switched itself off, as far as libvirt remembers. */
  readonly shutDown?: true;
  /** Our metadata element; undefined for the domains of others. */
  readonly metadata?: string;
}

/** Of a domain: as it runs now, or as it will be when it is next started. */
export type DomainForm = 'live' | 'config';

const AFFECT: Readonly<Record<DomainForm, number>> = { live: AFFECT_LIVE, config: AFFECT_CONFIG };

export interface LeaseRecord {
  readonly mac: string;
  readonly address: string;
}

/** Thrown by calls, and crosses to the adapter as code and message. */
export class LibvirtCallError extends Error {
  constructor(readonly failure: LibvirtError) {
    super(failure.message);
    this.name = 'LibvirtCallError';
  }
}

export type QuickCalls = ReturnType<typeof quickCalls>;
export type LongCalls = ReturnType<typeof longCalls>;

export function quickCalls(libvirt: Libvirt, connection: () => Handle) {
  const { functions: call } = libvirt;

  const fail = (): never => {
    throw new LibvirtCallError(libvirt.lastError());
  };
  const must = (result: number): void => {
    if (result < 0) fail();
  };
  const found = <T>(handle: Handle | null, noSuch: number, use: (handle: Handle) => T, free: (h: Handle) => void) => {
    if (!handle) {
      if (libvirt.lastError().code === noSuch) return undefined;
      return fail();
    }
    try {
      return use(handle);
    } finally {
      free(handle);
    }
  };
  const withDomain = <T>(uuid: string, use: (domain: Handle) => T): T | undefined =>
    found(
      call.virDomainLookupByUUIDString(connection(), uuid) as Handle | null,
      LIBVIRT_NO_SUCH.domain,
      use,
      call.virDomainFree,
    );
  const withNetwork = <T>(name: string, use: (network: Handle) => T): T | undefined =>
    found(
      call.virNetworkLookupByName(connection(), name) as Handle | null,
      LIBVIRT_NO_SUCH.network,
      use,
      call.virNetworkFree,
    );

  const hasSavedMemory = (domain: Handle): boolean => {
    const answer = call.virDomainHasManagedSaveImage(domain, 0) as number;
    must(answer);
    return answer === 1;
  };

  const describe = (domain: Handle): DomainRecord => {
    const state = [0];
    const reason = [0];
    must(call.virDomainGetState(domain, state, reason, 0) as number);
    const metadata = call.virDomainGetMetadata(domain, METADATA_ELEMENT, METADATA_NAMESPACE, 0) as string | null;
    return {
      uuid: uuidOf(libvirt, domain),
      name: call.virDomainGetName(domain) as string,
      state: RUNNING_STATES.has(state[0]!) ? 'running' : hasSavedMemory(domain) ? 'hibernated' : 'stopped',
      ...(state[0] === PAUSED && !PAUSED_IN_PASSING.has(reason[0]!) && { paused: true as const }),
      ...(state[0] === SHUT_OFF && reason[0] === SHUT_DOWN_BY_GUEST && { shutDown: true as const }),
      metadata: metadata ?? undefined,
    };
  };

  return {
    listDomains(): DomainRecord[] {
      const out: unknown[] = [null];
      const count = call.virConnectListAllDomains(connection(), out, 0) as number;
      must(count);
      const domains = libvirt.takeArray(out, count);
      try {
        return domains.flatMap((domain) => {
          try {
            return [describe(domain)];
          } catch (error) {
            // Undefined by somebody between the list and the look at it. Any other error fails the whole list: one
            // that is too short would make its reader believe that guests are gone.
            if (error instanceof LibvirtCallError && error.failure.code === LIBVIRT_NO_SUCH.domain) return [];
            throw error;
          }
        });
      } finally {
        domains.forEach((domain) => call.virDomainFree(domain));
      }
    },

    pciDeviceDocuments(): string[] {
      const out: unknown[] = [null];
      const count = call.virConnectListAllNodeDevices(connection(), out, LIST_PCI_DEVICES) as number;
      must(count);
      const devices = libvirt.takeArray(out, count);
      try {
        // One that was unplugged between the list and the look at it has no document.
        return devices.flatMap((device) => (call.virNodeDeviceGetXMLDesc(device, 0) as string | null) ?? []);
      } finally {
        devices.forEach((device) => call.virNodeDeviceFree(device));
      }
    },

    domain: (uuid: string): DomainRecord | undefined => withDomain(uuid, describe),

    domainDocument: (uuid: string, form: DomainForm): string | undefined =>
      withDomain(uuid, (domain) => {
        const xml = call.virDomainGetXMLDesc(domain, form === 'config' ? XML_INACTIVE : 0) as string | null;
        return xml === null ? fail() : xml;
      }),

    /** Of the backup job that is under way; undefined when there is none, or the domain does not run. */
    backupDocument: (uuid: string): string | undefined =>
      withDomain(uuid, (domain) => {
        const xml = call.virDomainBackupGetXMLDesc(domain, 0) as string | null;
        if (xml !== null) return xml;
        const { code } = libvirt.lastError();
        return code === LIBVIRT_NO_SUCH.backup || code === INVALID_OPERATION ? undefined : fail();
      }),

    /** How the last job ended. */
    lastJob: (uuid: string): 'completed' | 'unknown' | undefined =>
      withDomain(uuid, (domain) => {
        const [type, parameters, count] = [[0], [null] as unknown[], [0]];
        must(call.virDomainGetJobStats(domain, type, parameters, count, STATS_OF_COMPLETED_JOB) as number);
        call.virTypedParamsFree(parameters[0], count[0]);
        return type[0] === JOB_COMPLETED ? 'completed' : 'unknown';
      }),

    setMetadata(uuid: string, element: string): void {
      withDomain(uuid, (domain) => {
        const flags = call.virDomainIsActive(domain) === 1 ? AFFECT_LIVE | AFFECT_CONFIG : AFFECT_CONFIG;
        const args = [domain, METADATA_ELEMENT, element, METADATA_PREFIX, METADATA_NAMESPACE, flags] as const;
        must(call.virDomainSetMetadata(...args) as number);
      });
    },

    dropSavedMemory(uuid: string): void {
      withDomain(uuid, (domain) => must(call.virDomainManagedSaveRemove(domain, 0) as number));
    },

    undefineDomain(uuid: string): void {
      withDomain(uuid, (domain) =>
        must(call.virDomainUndefineFlags(domain, UNDEFINE_MANAGED_SAVE_SNAPSHOTS_NVRAM_CHECKPOINTS) as number),
      );
    },

    networkNames(): string[] {
      const out: unknown[] = [null];
      const count = call.virConnectListAllNetworks(connection(), out, 0) as number;
      must(count);
      return libvirt.takeArray(out, count).map((network) => {
        const name = call.virNetworkGetName(network) as string;
        call.virNetworkFree(network);
        return name;
      });
    },

    network: (name: string): { xml: string; active: boolean } | undefined =>
      withNetwork(name, (network) => {
        const xml = call.virNetworkGetXMLDesc(network, 0) as string | null;
        return xml === null ? fail() : { xml, active: call.virNetworkIsActive(network) === 1 };
      }),

    defineNetwork(xml: string): void {
      const network = call.virNetworkDefineXML(connection(), xml) as Handle | null;
      if (!network) return fail();
      try {
        must(call.virNetworkSetAutostart(network, 1) as number);
      } finally {
        call.virNetworkFree(network);
      }
    },

    startNetwork(name: string): void {
      withNetwork(name, (network) => must(call.virNetworkCreate(network) as number));
    },

    removeNetwork(name: string): void {
      withNetwork(name, (network) => {
        if (call.virNetworkIsActive(network) === 1) must(call.virNetworkDestroy(network) as number);
        must(call.virNetworkUndefine(network) as number);
      });
    },

    updateHostEntry(name: string, change: 'add' | 'remove', xml: string): void {
      const { section, liveAndConfig } = NETWORK_UPDATE;
      withNetwork(name, (network) =>
        must(call.virNetworkUpdate(network, NETWORK_UPDATE[change], section, -1, xml, liveAndConfig) as number),
      );
    },

    leases: (name: string): LeaseRecord[] =>
      withNetwork(name, (network) => {
        const out: unknown[] = [null];
        const count = call.virNetworkGetDHCPLeases(network, null, out, 0) as number;
        must(count);
        return libvirt.takeArray(out, count).map((lease) => {
          const { mac, ipaddr } = libvirt.decodeLease(lease);
          call.virNetworkDHCPLeaseFree(lease);
          return { mac: mac ?? '', address: ipaddr };
        });
      }) ?? [],
  };
}

/** Lends a connection of its own to each long call and takes it back for the next one. */
export interface ConnectionLender {
  borrow(): Handle;
  giveBack(connection: Handle): void;
}

export function longCalls(libvirt: Libvirt, lender: ConnectionLender) {
  const { functions: call } = libvirt;

  type AsyncFunction = { async: (...args: unknown[]) => void };
  const run = <T>(name: keyof Libvirt['functions'], ...args: unknown[]): Promise<T> =>
    new Promise((resolve, reject) => {
      (call[name] as unknown as AsyncFunction).async(...args, (error: Error | null, result: T) =>
        error ? reject(error) : resolve(result),
      );
    });

  /** @returns what the call did; 0 where the domain is missing and that is fine. */
  const fromDomain = async (
    uuid: string,
    use: (domain: Handle) => Promise<number>,
    whenMissing: 'fails' | 'is fine',
  ): Promise<number> => {
    const connection = lender.borrow();
    let domain: Handle | null = null;
    try {
      domain = call.virDomainLookupByUUIDString(connection, uuid) as Handle | null;
      if (!domain) {
        const failure = libvirt.lastError();
        if (whenMissing === 'is fine' && failure.code === LIBVIRT_NO_SUCH.domain) return 0;
        throw new LibvirtCallError(failure);
      }
      call.virConnResetLastError(connection);
      const result = await use(domain);
      if (result < 0) throw new LibvirtCallError(libvirt.connectionError(connection));
      return result;
    } finally {
      if (domain) call.virDomainFree(domain);
      lender.giveBack(connection);
    }
  };

  const onDomain = async (...args: Parameters<typeof fromDomain>): Promise<void> => void (await fromDomain(...args));

  const fromDocument = async (name: 'virDomainDefineXMLFlags' | 'virDomainCreateXML', xml: string): Promise<void> => {
    const connection = lender.borrow();
    try {
      call.virConnResetLastError(connection);
      const domain = await run<Handle | null>(name, connection, xml, 0);
      if (!domain) throw new LibvirtCallError(libvirt.connectionError(connection));
      call.virDomainFree(domain);
    } finally {
      lender.giveBack(connection);
    }
  };

  return {
    startDomain: (uuid: string) =>
      onDomain(uuid, (domain) => run<number>('virDomainCreateWithFlags', domain, 0), 'fails'),

    resumeDomain: (uuid: string) => onDomain(uuid, (domain) => run<number>('virDomainResume', domain), 'fails'),

    pressPowerButton: (uuid: string) =>
      onDomain(uuid, (domain) => run<number>('virDomainShutdownFlags', domain, SHUTDOWN_ACPI), 'fails'),

    resetDomain: (uuid: string) => onDomain(uuid, (domain) => run<number>('virDomainReset', domain, 0), 'fails'),

    /** Writes the whole memory of the guest to the node's disk, and powers off. */
    saveMemory: (uuid: string) => onDomain(uuid, (domain) => run<number>('virDomainManagedSave', domain, 0), 'fails'),

    attachDevice: (uuid: string, xml: string, form: DomainForm) =>
      onDomain(uuid, (domain) => run<number>('virDomainAttachDeviceFlags', domain, xml, AFFECT[form]), 'fails'),

    /** On a running domain, it only asks the guest to let go of the device. */
    detachDevice: (uuid: string, xml: string, form: DomainForm) =>
      onDomain(uuid, (domain) => run<number>('virDomainDetachDeviceFlags', domain, xml, AFFECT[form]), 'fails'),

    /** Of a running domain; its guest sees the new size at once. */
    resizeDisk: (uuid: string, target: string, bytes: number) =>
      onDomain(uuid, (domain) => run<number>('virDomainBlockResize', domain, target, bytes, BLOCK_RESIZE_BYTES), 'fails'),

    /** @returns a descriptor, open in this process, of a socket that QEMU's VNC server is at the other end of. */
    openGraphics: (uuid: string) =>
      fromDomain(uuid, (domain) => run<number>('virDomainOpenGraphicsFD', domain, FIRST_DISPLAY, 0), 'fails'),

    /** Returns when the job has begun. */
    beginBackup: (uuid: string, xml: string) =>
      onDomain(uuid, (domain) => run<number>('virDomainBackupBegin', domain, xml, null, 0), 'fails'),

    abortJob: (uuid: string) => onDomain(uuid, (domain) => run<number>('virDomainAbortJob', domain), 'is fine'),

    powerOff: (uuid: string) =>
      onDomain(uuid, (domain) => run<number>('virDomainDestroyFlags', domain, 0), 'is fine'),

    /** Long, because the first one after a change of QEMU waits until libvirt has examined QEMU anew. */
    defineDomain: (xml: string) => fromDocument('virDomainDefineXMLFlags', xml),

    /** Of every running domain of the host, in one call, which does not wait for a QEMU that hangs. */
    statistics: async (): Promise<DomainStatistics[]> => {
      const connection = lender.borrow();
      try {
        call.virConnResetLastError(connection);
        const out: unknown[] = [null];
        const { cpu, balloon, interfaces, blocks } = STATISTICS;
        const count = await run<number>('virConnectGetAllDomainStats', connection, cpu | balloon | interfaces | blocks, out, ACTIVE_NOWAIT);
        if (count < 0) throw new LibvirtCallError(libvirt.connectionError(connection));
        if (!out[0]) return [];
        try {
          // A host without any domain has a list too, with nothing in it.
          if (count === 0) return [];
          return libvirt.decodeStatistics(out[0] as Handle, count).map(({ domain, values }) => ({ uuid: uuidOf(libvirt, domain), values }));
        } finally {
          call.virDomainStatsRecordListFree(out[0]);
        }
      } finally {
        lender.giveBack(connection);
      }
    },

    startTransientDomain: (xml: string) => fromDocument('virDomainCreateXML', xml),
  };
}

export function uuidOf(libvirt: Libvirt, domain: Handle): string {
  const buffer = Buffer.alloc(UUID_BUFFER_BYTES);
  libvirt.functions.virDomainGetUUIDString(domain, buffer);
  return buffer.toString('latin1', 0, UUID_BUFFER_BYTES - 1);
}
