/**
 * Reads the header of a qcow2 file and refuses what could harm: another file of the host behind it, content that nobody
 * can check, tables made to exhaust whoever opens it. The limits of the tables are QEMU's own, or stricter.
 *
 * It follows no name in the header, and no length without looking whether it is within the file. Pure: it is given bytes.
 */

/** A header and its extensions fill no more than one cluster, and the smallest has as much. */
export const QCOW2_HEADER_BYTES = 64 * 1024;
export const QCOW2_MAGIC = 'QFI\xfb';

const VERSION_2_BYTES = 72;
const VERSION_3_BYTES = 104;
const MOST_L1_BYTES = 32 * 2 ** 20;
const MOST_REFCOUNT_TABLE_BYTES = 8 * 2 ** 20;
const CLUSTER_BITS = { least: 9, most: 21 };
const MOST_REFCOUNT_ORDER = 6;
const MOST_EXTENSIONS = 64;

/** Bits of a version 3 header's incompatible features. */
const DIRTY = 1n << 0n;
const CORRUPT = 1n << 1n;
const EXTERNAL_DATA_FILE = 1n << 2n;
const COMPRESSION_TYPE = 1n << 3n;
const EXTENDED_L2 = 1n << 4n;
const KNOWN_FEATURES = DIRTY | CORRUPT | EXTERNAL_DATA_FILE | COMPRESSION_TYPE | EXTENDED_L2;

/** Others may be ignored, as the format's specification has it. */
const EXTENSIONS = {
  end: 0,
  dataFileName: 0x44415441,
  encryption: 0x0537be77,
  bitmaps: 0x23852875,
} as const;

const HARMFUL_EXTENSIONS: ReadonlyMap<number, string> = new Map([
  [EXTENSIONS.dataFileName, 'it names an external data file'],
  [EXTENSIONS.encryption, 'it is encrypted'],
  [EXTENSIONS.bitmaps, 'it contains dirty bitmaps; leave them out with qemu-img convert'],
]);

export type Qcow2Reading = { readonly refusal: string } | { readonly refusal?: undefined; readonly virtualBytes: bigint };

/** `on a base`: a disk of Baton's own. Whoever opens it says which base that is, and does not ask the header. */
export type Qcow2Kind = 'alone' | 'on a base';

/** @param header the first `QCOW2_HEADER_BYTES` of the file, or all of it. */
export function readQcow2(header: Buffer, fileBytes: number, kind: Qcow2Kind = 'alone'): Qcow2Reading {
  const refusal = refusalOf(header, BigInt(fileBytes), kind);
  return refusal === undefined ? { virtualBytes: header.readBigUInt64BE(24) } : { refusal };
}

function refusalOf(header: Buffer, fileBytes: bigint, kind: Qcow2Kind): string | undefined {
  if (header.toString('latin1', 0, 4) !== QCOW2_MAGIC) return 'it is not a qcow2 file';
  if (header.length < VERSION_2_BYTES) return 'its header is cut off';
  const version = header.readUInt32BE(4);
  if (version !== 2 && version !== 3) return `it has qcow version ${version}; only 2 and 3 are supported`;
  if (kind === 'alone' && (header.readBigUInt64BE(8) !== 0n || header.readUInt32BE(16) !== 0)) return 'it has a backing file';
  if (header.readUInt32BE(32) !== 0) return 'it is encrypted';
  if (header.readUInt32BE(60) !== 0) return 'it contains snapshots; leave them out with qemu-img convert';
  return refusalOfTables(header, fileBytes) ?? (version === 3 ? refusalOfVersion3(header) : refusalOfExtensions(header, VERSION_2_BYTES));
}

function refusalOfTables(header: Buffer, fileBytes: bigint): string | undefined {
  const clusterBits = header.readUInt32BE(20);
  if (clusterBits < CLUSTER_BITS.least || clusterBits > CLUSTER_BITS.most) return `it has clusters of 2^${clusterBits} bytes`;
  const clusterBytes = 1n << BigInt(clusterBits);
  const l1Bytes = BigInt(header.readUInt32BE(36)) * 8n;
  if (l1Bytes > MOST_L1_BYTES) return `its L1 table has ${l1Bytes} bytes, more than the limit of ${MOST_L1_BYTES}`;
  // One L1 entry covers as many clusters as fit entries of 8 bytes into one; extended entries are twice as long.
  const covered = (l1Bytes / 8n) * clusterBytes * (clusterBytes / 8n);
  if (header.readBigUInt64BE(24) > covered) return 'its L1 table is too small for its size';
  const refcountBytes = BigInt(header.readUInt32BE(56)) * clusterBytes;
  if (refcountBytes === 0n) return 'it has no refcount table';
  if (refcountBytes > MOST_REFCOUNT_TABLE_BYTES)
    return `its refcount table has ${refcountBytes} bytes, more than the limit of ${MOST_REFCOUNT_TABLE_BYTES}`;
  for (const [name, offset, bytes] of [
    ['L1', header.readBigUInt64BE(40), l1Bytes],
    ['refcount', header.readBigUInt64BE(48), refcountBytes],
  ] as const) {
    if (offset % clusterBytes !== 0n) return `its ${name} table is not at the start of a cluster`;
    if (offset + bytes > fileBytes) return `its ${name} table is not within the file: is it cut off?`;
  }
  return undefined;
}

function refusalOfVersion3(header: Buffer): string | undefined {
  if (header.length < VERSION_3_BYTES) return 'its header is cut off';
  const features = header.readBigUInt64BE(72);
  if (features & EXTERNAL_DATA_FILE) return 'it keeps its content in an external data file';
  if (features & CORRUPT) return 'it is marked as corrupt';
  if (features & ~KNOWN_FEATURES) return 'it uses features that are not known';
  if (header.readUInt32BE(96) > MOST_REFCOUNT_ORDER) return 'its refcounts are too wide';
  const headerBytes = header.readUInt32BE(100);
  if (headerBytes < VERSION_3_BYTES || headerBytes % 8 !== 0 || headerBytes > header.length) return 'its header has an impossible length';
  return refusalOfExtensions(header, headerBytes);
}

function refusalOfExtensions(header: Buffer, from: number): string | undefined {
  let at = from;
  for (let count = 0; count < MOST_EXTENSIONS; count++) {
    // A header that ends without an end marker ends where the first cluster does.
    if (at + 8 > header.length) return undefined;
    const type = header.readUInt32BE(at);
    if (type === EXTENSIONS.end) return undefined;
    const harmful = HARMFUL_EXTENSIONS.get(type);
    if (harmful !== undefined) return harmful;
    const bytes = header.readUInt32BE(at + 4);
    if (bytes > header.length - at - 8) return 'an extension of its header is cut off';
    at += 8 + Math.ceil(bytes / 8) * 8;
  }
  return 'its header has too many extensions';
}
