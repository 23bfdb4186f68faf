/** A valid, empty qcow2 disk of 64 MiB, for hosts without qemu-img: header, reference counts, and an empty L1 table. */
const CLUSTER_BITS = 16;
const CLUSTER = 1 << CLUSTER_BITS;
const VIRTUAL_BYTES = 64 * 1024 * 1024;
const HEADER_BYTES = 104;

/** In units of clusters. */
const LAYOUT = { header: 0, refcountTable: 1, refcountBlock: 2, l1Table: 3, end: 4 } as const;

export function emptyQcow2(): Buffer {
  const disk = Buffer.alloc(LAYOUT.end * CLUSTER);
  disk.write('QFI\xfb', 0, 'latin1');
  disk.writeUInt32BE(3, 4); // version
  disk.writeUInt32BE(CLUSTER_BITS, 20);
  disk.writeBigUInt64BE(BigInt(VIRTUAL_BYTES), 24);
  disk.writeUInt32BE(1, 36); // entries in the L1 table
  disk.writeBigUInt64BE(BigInt(LAYOUT.l1Table * CLUSTER), 40);
  disk.writeBigUInt64BE(BigInt(LAYOUT.refcountTable * CLUSTER), 48);
  disk.writeUInt32BE(1, 56); // clusters of the refcount table
  disk.writeUInt32BE(4, 96); // refcounts of 2^4 bits
  disk.writeUInt32BE(HEADER_BYTES, 100);
  disk.writeBigUInt64BE(BigInt(LAYOUT.refcountBlock * CLUSTER), LAYOUT.refcountTable * CLUSTER);
  for (let cluster = 0; cluster < LAYOUT.end; cluster += 1)
    disk.writeUInt16BE(1, LAYOUT.refcountBlock * CLUSTER + 2 * cluster);
  return disk;
}
