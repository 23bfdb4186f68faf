import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { consoleTail } from './console-file.js';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'baton-test-console-'));
  path = join(folder, 'console.log');
});
afterEach(async () => await rm(folder, { recursive: true }));

const tail = async (bytes: number): Promise<string> => (await consoleTail(path, bytes)).toString();

describe('the end of a console', () => {
  it('is the last bytes of its file, or all of them', async () => {
    await writeFile(path, 'one\ntwo\n');
    expect(await tail(4)).toBe('two\n');
    expect(await tail(100)).toBe('one\ntwo\n');
  });

  it('reads on in the file before, where the log was turned over', async () => {
    await writeFile(`${path}.0`, 'one\ntwo\n');
    await writeFile(path, 'three\n');
    expect(await tail(10)).toBe('two\nthree\n');
    expect(await tail(6)).toBe('three\n');
  });

  it('is empty before the guest was ever started', async () => {
    expect(await tail(10)).toBe('');
  });
});
