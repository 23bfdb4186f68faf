/**
 * The C functions of libvirt.so.0 that Baton calls, by koffi. Loaded only inside the connection thread, and only when
 * the libvirt adapter is opened: a host without libvirt runs every other part of Baton.
 *
 * Strings that libvirt allocates are freed by their type here, handles by those who ask for them. The last error is
 * per thread, so a synchronous call and the reading of its error must happen on the same thread.
 */
import koffi from 'koffi';

type TypeSpec = Parameters<typeof koffi.sizeof>[0];

/** An opaque pointer: a connection, a domain, a network. */
export type Handle = object;

export interface LibvirtError {
  readonly code: number;
  readonly message: string;
}

interface TypedParameter {
  readonly field: string;
  readonly type: number;
  readonly value: number | bigint;
}

/** By virTypedParameterType: whole numbers alone, of which the short ones fill half of the value. */
function numberIn({ field, type, value }: TypedParameter): [string, number][] {
  if (type === 1 || type === 2) return [[field, Number(BigInt(value) & 0xffff_ffffn)]];
  return type === 3 || type === 4 ? [[field, Number(value)]] : [];
}

export function loadLibvirt() {
  const libvirt = koffi.load('libvirt.so.0');
  const free = koffi.load('libc.so.6').func('void free(void *)');
  const errorRecord = koffi.struct({
    code: 'int',
    domain: 'int',
    message: 'const char *',
    level: 'int',
    conn: 'void *',
    dom: 'void *',
    str1: 'const char *',
    str2: 'const char *',
    str3: 'const char *',
    int1: 'int',
    int2: 'int',
    net: 'void *',
  });
  const leaseRecord = koffi.struct({
    iface: 'const char *',
    expirytime: 'int64',
    type: 'int',
    mac: 'const char *',
    iaid: 'const char *',
    ipaddr: 'const char *',
    prefix: 'uint',
    hostname: 'const char *',
    clientid: 'const char *',
  });
  const statisticsRecord = koffi.struct({ domain: 'void *', parameters: 'void *', count: 'int' });
  const parameterRecord = koffi.struct({ field: koffi.array('char', 80, 'String'), type: 'int', value: 'uint64' });
  const ownedString = koffi.disposable('OwnedString', 'str', free);
  const outInt = koffi.out(koffi.pointer('int'));
  const outPointer = koffi.out(koffi.pointer('void *'));
  const lifecycleFunction = koffi.pointer(
    koffi.proto('int LifecycleFunction(void *conn, void *domain, int event, int detail, void *opaque)'),
  );
  const pointer = 'void *';
  const text = 'const char *';
  const bind = (name: string, result: TypeSpec, parameters: TypeSpec[]) =>
    libvirt.func(name, result, parameters);

  const functions = {
    virInitialize: bind('virInitialize', 'int', []),
    virSetErrorFunc: bind('virSetErrorFunc', 'void', [pointer, pointer]),
    virGetLastError: bind('virGetLastError', pointer, []),
    virResetLastError: bind('virResetLastError', 'void', []),
    virConnGetLastError: bind('virConnGetLastError', pointer, [pointer]),
    virConnResetLastError: bind('virConnResetLastError', 'void', [pointer]),

    virEventRegisterDefaultImpl: bind('virEventRegisterDefaultImpl', 'int', []),
    virEventRunDefaultImpl: bind('virEventRunDefaultImpl', 'int', []),
    virEventAddTimeout: bind('virEventAddTimeout', 'int', ['int', pointer, pointer, pointer]),
    virEventRemoveTimeout: bind('virEventRemoveTimeout', 'int', ['int']),

    virConnectOpen: bind('virConnectOpen', pointer, [text]),
    virConnectClose: bind('virConnectClose', 'int', [pointer]),
    virConnectIsAlive: bind('virConnectIsAlive', 'int', [pointer]),
    virConnectSetKeepAlive: bind('virConnectSetKeepAlive', 'int', [pointer, 'int', 'uint']),
    virConnectDomainEventRegisterAny: bind('virConnectDomainEventRegisterAny', 'int', [
      pointer,
      pointer,
      'int',
      lifecycleFunction,
      pointer,
      pointer,
    ]),
    virConnectDomainEventDeregisterAny: bind('virConnectDomainEventDeregisterAny', 'int', [pointer, 'int']),
    virConnectListAllNodeDevices: bind('virConnectListAllNodeDevices', 'int', [pointer, outPointer, 'uint']),
    virNodeDeviceGetXMLDesc: bind('virNodeDeviceGetXMLDesc', ownedString, [pointer, 'uint']),
    virNodeDeviceFree: bind('virNodeDeviceFree', 'int', [pointer]),
    virConnectListAllDomains: bind('virConnectListAllDomains', 'int', [pointer, outPointer, 'uint']),

    virDomainLookupByUUIDString: bind('virDomainLookupByUUIDString', pointer, [pointer, text]),
    virDomainGetUUIDString: bind('virDomainGetUUIDString', 'int', [pointer, pointer]),
    virDomainGetName: bind('virDomainGetName', text, [pointer]),
    virDomainIsActive: bind('virDomainIsActive', 'int', [pointer]),
    virDomainGetState: bind('virDomainGetState', 'int', [pointer, outInt, outInt, 'uint']),
    virDomainGetMetadata: bind('virDomainGetMetadata', ownedString, [pointer, 'int', text, 'uint']),
    virDomainSetMetadata: bind('virDomainSetMetadata', 'int', [pointer, 'int', text, text, text, 'uint']),
    virDomainDefineXMLFlags: bind('virDomainDefineXMLFlags', pointer, [pointer, text, 'uint']),
    virDomainCreateXML: bind('virDomainCreateXML', pointer, [pointer, text, 'uint']),
    virDomainCreateWithFlags: bind('virDomainCreateWithFlags', 'int', [pointer, 'uint']),
    virDomainShutdownFlags: bind('virDomainShutdownFlags', 'int', [pointer, 'uint']),
    virDomainResume: bind('virDomainResume', 'int', [pointer]),
    virDomainReset: bind('virDomainReset', 'int', [pointer, 'uint']),
    virDomainDestroyFlags: bind('virDomainDestroyFlags', 'int', [pointer, 'uint']),
    virDomainManagedSave: bind('virDomainManagedSave', 'int', [pointer, 'uint']),
    virDomainHasManagedSaveImage: bind('virDomainHasManagedSaveImage', 'int', [pointer, 'uint']),
    virDomainManagedSaveRemove: bind('virDomainManagedSaveRemove', 'int', [pointer, 'uint']),
    virDomainUndefineFlags: bind('virDomainUndefineFlags', 'int', [pointer, 'uint']),
    virDomainGetXMLDesc: bind('virDomainGetXMLDesc', ownedString, [pointer, 'uint']),
    virDomainAttachDeviceFlags: bind('virDomainAttachDeviceFlags', 'int', [pointer, text, 'uint']),
    virDomainDetachDeviceFlags: bind('virDomainDetachDeviceFlags', 'int', [pointer, text, 'uint']),
    virConnectGetAllDomainStats: bind('virConnectGetAllDomainStats', 'int', [pointer, 'uint', outPointer, 'uint']),
    virDomainStatsRecordListFree: bind('virDomainStatsRecordListFree', 'void', [pointer]),
    virDomainOpenGraphicsFD: bind('virDomainOpenGraphicsFD', 'int', [pointer, 'uint', 'uint']),
    virDomainBlockResize: bind('virDomainBlockResize', 'int', [pointer, text, 'uint64', 'uint']),
    virDomainBackupBegin: bind('virDomainBackupBegin', 'int', [pointer, text, text, 'uint']),
    virDomainBackupGetXMLDesc: bind('virDomainBackupGetXMLDesc', ownedString, [pointer, 'uint']),
    virDomainAbortJob: bind('virDomainAbortJob', 'int', [pointer]),
    virDomainGetJobStats: bind('virDomainGetJobStats', 'int', [pointer, outInt, outPointer, outInt, 'uint']),
    virTypedParamsFree: bind('virTypedParamsFree', 'void', [pointer, 'int']),
    virDomainFree: bind('virDomainFree', 'int', [pointer]),

    virNetworkLookupByName: bind('virNetworkLookupByName', pointer, [pointer, text]),
    virConnectListAllNetworks: bind('virConnectListAllNetworks', 'int', [pointer, outPointer, 'uint']),
    virNetworkGetName: bind('virNetworkGetName', text, [pointer]),
    virNetworkGetXMLDesc: bind('virNetworkGetXMLDesc', ownedString, [pointer, 'uint']),
    virNetworkDefineXML: bind('virNetworkDefineXML', pointer, [pointer, text]),
    virNetworkIsActive: bind('virNetworkIsActive', 'int', [pointer]),
    virNetworkSetAutostart: bind('virNetworkSetAutostart', 'int', [pointer, 'int']),
    virNetworkCreate: bind('virNetworkCreate', 'int', [pointer]),
    virNetworkDestroy: bind('virNetworkDestroy', 'int', [pointer]),
    virNetworkUndefine: bind('virNetworkUndefine', 'int', [pointer]),
    virNetworkUpdate: bind('virNetworkUpdate', 'int', [pointer, 'uint', 'uint', 'int', text, 'uint']),
    virNetworkGetDHCPLeases: bind('virNetworkGetDHCPLeases', 'int', [pointer, text, outPointer, 'uint']),
    virNetworkDHCPLeaseFree: bind('virNetworkDHCPLeaseFree', 'void', [pointer]),
    virNetworkFree: bind('virNetworkFree', 'int', [pointer]),
  };

  /**
   * A callback of C, because one in JavaScript would make the thread of a long call wait for this one, which may be
   * waiting for libvirt; and because it is still there when this thread has ended.
   */
  const doNothing: unknown = libvirt.symbol('virInitialize');

  const decodeError = (address: unknown): LibvirtError => {
    if (!address) return { code: 0, message: 'libvirt gave no reason' };
    const { code, message } = koffi.decode(address, errorRecord) as LibvirtError;
    return { code, message };
  };
  /** The elements of an array that libvirt allocated; the array itself is freed, its elements are the caller's. */
  const takeArray = (out: unknown[], length: number): Handle[] => {
    const handles = length > 0 ? (koffi.decode(out[0], koffi.array('void *', length)) as Handle[]) : [];
    free(out[0]);
    return handles;
  };

  return {
    functions,
    takeArray,
    doNothing,
    /** libvirt prints errors to stderr unless something takes them. */
    silenceErrors: () => functions.virSetErrorFunc(null, doNothing),
    /** Of this thread, hence right only directly after a synchronous call. */
    lastError: () => decodeError(functions.virGetLastError()),
    /** Of this connection, hence right only while nobody else uses it. */
    connectionError: (connection: Handle) => decodeError(functions.virConnGetLastError(connection)),
    decodeLease: (lease: Handle) => koffi.decode(lease, leaseRecord) as { mac: string | null; ipaddr: string },
    /** The records of a list of statistics, each with its domain, which lives as long as the list. */
    decodeStatistics: (list: Handle, length: number): { domain: Handle; values: Record<string, number> }[] =>
      (koffi.decode(list, koffi.array('void *', length)) as Handle[]).map((record) => {
        const { domain, parameters, count } = koffi.decode(record, statisticsRecord) as { domain: Handle; parameters: Handle; count: number };
        const decoded = count === 0 ? [] : (koffi.decode(parameters, koffi.array(parameterRecord, count)) as TypedParameter[]);
        return { domain, values: Object.fromEntries(decoded.flatMap(numberIn)) };
      }),
    /** Callbacks live as long as the thread does. */
    callbacks: {
      lifecycle: (call: (connection: Handle, domain: Handle) => number) => koffi.register(call, lifecycleFunction),
    },
  };
}

export type Libvirt = ReturnType<typeof loadLibvirt>;
