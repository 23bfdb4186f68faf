import { describe, expect, it } from '@jest/globals';
import { XMLValidator } from 'fast-xml-parser';
import { backupXml, filesWritten } from './backup-document.js';

const root = { target: 'vda', file: '/data/instances/a/disk.qcow2', base: { file: '/data/images/b', format: 'qcow2' } };
const volume = { target: 'vdb', file: '/data/volumes/v.qcow2', base: undefined };

describe('the document of a backup job', () => {
  const xml = backupXml(root, [volume], '/data/snapshots/s.qcow2.partial');

  it('has the root disk copied into a file whose format is said, and names the others so that they are not', () => {
    expect(XMLValidator.validate(xml)).toBe(true);
    expect(xml).toContain('<disk name="vda" backup="yes" type="file"><driver type="qcow2"/><target file="/data/snapshots/s.qcow2.partial"/></disk>');
    expect(xml).toContain('<disk name="vdb" backup="no"/>');
  });

  it('names neither the disk nor its base: nothing of them can be written by it', () => {
    expect(xml).not.toContain('instances');
    expect(xml).not.toContain('images');
  });

  it('tells what the job writes, also of jobs that somebody else began', () => {
    expect(filesWritten(xml)).toEqual(['/data/snapshots/s.qcow2.partial']);
    expect(filesWritten(`<domainbackup mode='pull'><disks><disk name='vda'><scratch file='/tmp/s'/></disk></disks></domainbackup>`)).toEqual(['/tmp/s']);
    expect(filesWritten('<domainbackup/>')).toEqual([]);
  });
});
