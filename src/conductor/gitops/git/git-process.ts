/**
 * One run of Git on something a stranger may have made. No shell reads a word of it; system, user and repository
 * configuration are not read; no hook, credential helper, pager, prompt or proxy is used. Time, memory, processor time
 * and the size of what is written are limited, and when the run is over, so is every process that it started.
 */
import { spawn } from 'node:child_process';
import { GitError } from './git-error.js';

export interface GitRun {
  readonly args: readonly string[];
  /** For its home, and for a repository if it has one. */
  readonly folder: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly limits: GitLimits;
  readonly signal: AbortSignal;
}

export interface GitOutcome {
  readonly exitCode: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface GitLimits {
  /** A pack is one file: no repository can be larger than this, without its history. */
  readonly largestFileBytes: number;
  readonly memoryBytes: number;
  readonly cpuSeconds: number;
}

export const GIT_LIMITS: GitLimits = { largestFileBytes: 128 * 1024 * 1024, memoryBytes: 1024 * 1024 * 1024, cpuSeconds: 60 };

const STDOUT_BYTES = 64 * 1024 * 1024;
const STDERR_BYTES = 16 * 1024;

const SETTINGS: Readonly<Record<string, string>> = {
  'core.hooksPath': '/dev/null',
  'core.fsmonitor': 'false',
  'credential.helper': '',
  'fetch.fsckObjects': 'true',
  'fetch.recurseSubmodules': 'false',
  'fetch.unpackLimit': '1',
  'gc.auto': '0',
  'http.followRedirects': 'false',
  'pack.threads': '1',
  'protocol.version': '2',
};

export async function runGit({ args, folder, settings, environment, stdin, limits, signal }: GitRun): Promise<GitOutcome> {
  const child = spawn('prlimit', [...asOptions(limits), '--', 'git', ...args], {
    cwd: folder,
    env: { ...fixedEnvironment(folder), ...configuration({ ...SETTINGS, ...settings }), ...environment },
    stdio: 'pipe',
    // A process group of its own, so that what Git started ends with it.
    detached: true,
  });
  const endAll = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // Nothing of it is left.
    }
  };
  signal.addEventListener('abort', endAll, { once: true });
  const stdout: Buffer[] = [];
  let [bytes, stderr, flooded] = [0, '', false];
  child.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= STDOUT_BYTES) stdout.push(chunk);
    else if (!flooded) {
      flooded = true;
      endAll();
    }
  });
  child.stderr.on('data', (chunk: Buffer) => (stderr = (stderr + chunk.toString()).slice(-STDERR_BYTES)));
  // A run that ends early does not read on; its exit code says why.
  child.stdin.on('error', () => undefined);
  child.stdin.end(stdin ?? '');
  try {
    const exitCode = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
      if (signal.aborted) endAll();
    });
    if (signal.aborted) throw new GitError('too_slow', 'The repository did not answer in time.');
    if (flooded) throw new GitError('too_large', 'The repository answered with more than can be read.');
    return { exitCode, stdout: Buffer.concat(stdout), stderr };
  } finally {
    signal.removeEventListener('abort', endAll);
    endAll();
  }
}

function asOptions({ largestFileBytes, memoryBytes, cpuSeconds }: GitLimits): string[] {
  return [`--fsize=${largestFileBytes}`, `--as=${memoryBytes}`, `--cpu=${cpuSeconds}`, '--core=0'];
}

function fixedEnvironment(folder: string): Record<string, string> {
  return {
    PATH: process.env.PATH ?? '/usr/bin:/bin',
    HOME: folder,
    LC_ALL: 'C',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_ATTR_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ALLOW_PROTOCOL: 'http:https:ssh',
    GIT_PROTOCOL_FROM_USER: '0',
    GIT_CEILING_DIRECTORIES: folder,
    GIT_OPTIONAL_LOCKS: '0',
  };
}

/** Through the environment, where other users of the host cannot read what a command line would show. */
function configuration(settings: Readonly<Record<string, string>>): Record<string, string> {
  const entries = Object.entries(settings);
  return Object.fromEntries([
    ['GIT_CONFIG_COUNT', String(entries.length)],
    ...entries.flatMap(([key, value], index) => [
      [`GIT_CONFIG_KEY_${index}`, key],
      [`GIT_CONFIG_VALUE_${index}`, value],
    ]),
  ]) as Record<string, string>;
}
