/** Whom a program that refuses root shall run as: an account that exists, because PostgreSQL looks itself up. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface UserAndGroup {
  readonly uid: number;
  readonly gid: number;
}

/** @returns undefined when this process is not root, and starts programs as who it is. */
export async function unprivilegedUser(): Promise<UserAndGroup | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ['postgres', 'nobody']) {
    const account = await lookUp(name);
    if (account) return account;
  }
  throw new Error('PostgreSQL does not run as root, and there is neither a user postgres nor nobody. Set DATABASE_URL.');
}

async function lookUp(name: string): Promise<UserAndGroup | undefined> {
  try {
    const [uid, gid] = await Promise.all(['-u', '-g'].map(async (what) => (await run('id', [what, name])).stdout));
    return { uid: Number(uid), gid: Number(gid) };
  } catch {
    return undefined;
  }
}
