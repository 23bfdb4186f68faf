/** What a guest wrote to its disk, and to the headers of its disk, does not lead a snapshot to other files of the host. */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { access, mkdtemp, open, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { bytesHeld, copyDisk, ensureBase, finishCopy, removeCopy } from '../src/compute/disks/snapshot-file.js';

const run = promisify(execFile);
const SECRET = 'the host keeps this to itself';
const MIB = 2 ** 20;

let folder: string;
let base: string;
let overlay: string;
let canary: string;
let copy: string;

const at = (name: string): string => join(folder, name);
const qemuIo = (file: string, ...commands: string[]) => run('qemu-io', ['-f', 'qcow2', ...commands.flatMap((command) => ['-c', command]), file]);
const contentOf = async (file: string): Promise<Buffer> => {
  await run('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', file, at('content')]);
  return await readFile(at('content'));
};
const checksum = async (file: string): Promise<string> => createHash('sha256').update(await readFile(file)).digest('hex');
/** Long ago, so that any reading shows; file systems that do not keep it would make the test say nothing. */
const LONG_AGO = new Date('2001-01-01');
const untouched = async (): Promise<boolean> => (await stat(canary)).atimeMs === LONG_AGO.getTime();

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'baton-snapshot-file-'));
  [base, overlay, canary, copy] = [at('base'), at('disk.qcow2'), at('canary'), at('copy.partial')];
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', base, '4M']);
  await qemuIo(base, 'write -P 0x11 0 1M');
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', base, overlay, '8M']);
  await qemuIo(overlay, 'write -P 0x22 2M 1M');
  await writeFile(canary, SECRET.padEnd(MIB, ' '));
  await utimes(canary, LONG_AGO, LONG_AGO);
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const chain = () => ({ file: overlay, base: { file: base, format: 'qcow2' } });

describe('the copy of a disk', () => {
  it('has all that the guest sees, what came from the base too, and stands alone', async () => {
    const before = await checksum(base);
    await copyDisk(chain(), copy);
    await finishCopy(copy, at('copy'), undefined);
    const content = await contentOf(at('copy'));
    expect(content).toHaveLength(8 * MIB);
    expect([content[0], content[MIB], content[2 * MIB], content[4 * MIB]]).toEqual([0x11, 0, 0x22, 0]);
    const { stdout } = await run('qemu-img', ['info', '-f', 'qcow2', '--output=json', at('copy')]);
    expect(JSON.parse(stdout)).not.toHaveProperty('backing-filename');
    expect(await checksum(base)).toBe(before);
    expect((await stat(at('copy'))).mode & 0o222).toBe(0);
    await expect(access(copy)).rejects.toThrow('ENOENT');
  });

  it('takes a header that the guest wrote to the start of its disk for what it is: content', async () => {
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-u', '-F', 'raw', '-b', canary, at('crafted'), '8M']);
    await qemuIo(overlay, `write -s ${at('crafted')} 0 64k`);
    await utimes(canary, LONG_AGO, LONG_AGO);
    await copyDisk(chain(), copy);
    await finishCopy(copy, at('copy'), undefined);
    const content = await contentOf(at('copy'));
    expect(content.toString('latin1', 0, 4)).toBe('QFI\xfb');
    expect(content.includes(SECRET)).toBe(false);
    expect(await untouched()).toBe(true);
  });

  it('does not follow a base that was written into the header of the disk itself', async () => {
    await run('qemu-img', ['rebase', '-u', '-f', 'qcow2', '-F', 'raw', '-b', canary, overlay]);
    await utimes(canary, LONG_AGO, LONG_AGO);
    await copyDisk(chain(), copy);
    const content = await contentOf(copy);
    expect(content[0]).toBe(0x11);
    expect(content.includes(SECRET)).toBe(false);
    expect(await untouched()).toBe(true);
  });

  it('is refused of a disk that was made to keep its content elsewhere', async () => {
    const file = await open(overlay, 'r+');
    await file.write(Buffer.from([0, 0, 0, 0, 0, 0, 0, 4]), 0, 8, 72);
    await file.close();
    await expect(copyDisk(chain(), copy)).rejects.toThrow('external data file');
    expect(await untouched()).toBe(true);
  });

  it('is looked at before it becomes a snapshot', async () => {
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-u', '-F', 'raw', '-b', canary, copy, '8M']);
    await expect(finishCopy(copy, at('copy'), undefined)).rejects.toThrow('it has a backing file');
    expect(await bytesHeld(at('copy'))).toBeUndefined();
  });
});

describe('the file of a snapshot', () => {
  beforeEach(async () => {
    await copyDisk(chain(), copy);
    await finishCopy(copy, at('copy'), undefined);
  });

  it('is there for VMs that were made of it until the last of them goes', async () => {
    await ensureBase(at('copy'), at('base-of-vm'));
    await ensureBase(at('copy'), at('base-of-vm'));
    await removeCopy(at('copy'));
    await removeCopy(at('copy'));
    await ensureBase(at('copy'), at('base-of-vm'));
    expect((await contentOf(at('base-of-vm')))[0]).toBe(0x11);
    await expect(ensureBase(at('copy'), at(randomBytes(4).toString('hex')))).rejects.toThrow('not on this compute node');
  });

  it('goes with what a former attempt left half made', async () => {
    await writeFile(`${at('copy')}.partial`, 'half');
    await removeCopy(at('copy'));
    await expect(access(`${at('copy')}.partial`)).rejects.toThrow('ENOENT');
    expect(await bytesHeld(at('copy'))).toBeUndefined();
  });
});
