/** The files of a fetched commit, as blobs: what is no regular file, or too large, is named and not read. */
import { badRequest } from '../../http/api-error.js';
import { GitError } from './git-error.js';

export interface TreeContent {
  /** By path from the root of the repository. */
  readonly files: ReadonlyMap<string, Buffer>;
  /** What was not read, with the reason. */
  readonly skipped: ReadonlyMap<string, string>;
}

/** Runs Git in the fetched repository; rejects when it fails. */
export type GitCommand = (args: readonly string[], stdin?: string) => Promise<Buffer>;

const LARGEST_FILE_BYTES = 1024 * 1024;
const LARGEST_TOTAL_BYTES = 32 * 1024 * 1024;
const MOST_FILES = 10_000;
const FOLDER = /^(?!-)[A-Za-z0-9._ @+-]+$/;
const REGULAR_FILE: ReadonlySet<string> = new Set(['100644', '100755', '100664']);

interface Entry {
  readonly path: string;
  readonly object: string;
  readonly bytes: number;
}

/** @throws ApiError 400 @returns it without slashes at its ends. */
export function checkPath(path: string): string {
  const plain = path.replace(/^\/+|\/+$/g, '');
  if (plain === '' || plain === '.') return '';
  if (!plain.split('/').every((name) => FOLDER.test(name) && name !== '..' && name !== '.'))
    throw badRequest('The path must be a folder of the repository, such as clusters/production.');
  return plain;
}

/** @throws GitError */
export async function readTree(git: GitCommand, commit: string, path: string): Promise<TreeContent> {
  const folder = checkPath(path);
  const listing = await git(['ls-tree', '-r', '-l', '-z', '--full-tree', `${commit}:${folder}`]).catch((error: unknown) => {
    if (folder === '' || !(error instanceof GitError) || error.problem !== 'broken') throw error;
    throw new GitError('no_path', `This commit has no folder ${folder}.`);
  });
  const { entries, skipped } = sift(listing.toString('utf8'), folder);
  const objects = entries.map(({ object }) => `${object}\n`).join('');
  const contents = splitBatch(await git(['cat-file', '--batch'], objects), entries);
  return { files: new Map(entries.map(({ path }, index) => [path, contents[index]!])), skipped };
}

function sift(listing: string, folder: string): { entries: Entry[]; skipped: Map<string, string> } {
  const skipped = new Map<string, string>();
  const entries: Entry[] = [];
  let total = 0;
  const lines = listing.split('\0').filter((line) => line !== '');
  if (lines.length > MOST_FILES) throw new GitError('too_large', `There are more than ${MOST_FILES} files; name a folder with fewer.`);
  for (const line of lines) {
    const [, mode, object, size, name] = /^(\d+) \w+ ([0-9a-f]+) +(\d+|-)\t(.*)$/s.exec(line) ?? [];
    if (mode === undefined || object === undefined || name === undefined) throw new GitError('broken', 'The tree cannot be read.');
    const path = folder === '' ? name : `${folder}/${name}`;
    const bytes = Number(size);
    if (!REGULAR_FILE.has(mode)) skipped.set(path, mode === '160000' ? 'a submodule' : 'no regular file');
    else if (bytes > LARGEST_FILE_BYTES) skipped.set(path, `larger than ${LARGEST_FILE_BYTES / 1024} KiB`);
    else {
      entries.push({ path, object, bytes });
      total += bytes;
    }
  }
  if (total > LARGEST_TOTAL_BYTES)
    throw new GitError('too_large', `The files have more than ${LARGEST_TOTAL_BYTES / 1024 / 1024} MiB together; name a folder with less.`);
  return { entries, skipped };
}

/** `<object> blob <size>\n<content>\n` for each. */
function splitBatch(batch: Buffer, entries: readonly Entry[]): Buffer[] {
  let position = 0;
  return entries.map(({ object, bytes }) => {
    const header = `${object} blob ${bytes}\n`;
    const start = position + header.length;
    if (batch.toString('latin1', position, start) !== header) throw new GitError('broken', 'A file of the commit cannot be read.');
    position = start + bytes + 1;
    return batch.subarray(start, start + bytes);
  });
}
