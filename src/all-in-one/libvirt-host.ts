/**
 * Whether this host can run real guests, and making it so: the programs, installed from Debian's or Ubuntu's packages
 * where that is allowed, and the claim on the host. Networks, addresses and domain marks are one per host, so only
 * one all-in-one cloud at a time may have its guests here.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { Progress } from './progress.js';

const run = promisify(execFile);

const PROGRAMS = ['libvirtd', 'virtlogd', 'qemu-system-x86_64', 'qemu-img', 'dnsmasq', 'nft', 'cpio', 'depmod', 'zstd'];
const FOLDERS = ['/usr/sbin', '/usr/bin', '/sbin', '/bin', '/usr/local/sbin', '/usr/local/bin'];

/** The tools with which the guest image is built are among them. */
const PACKAGES = [
  'libvirt-daemon',
  'libvirt-daemon-system',
  'libvirt-daemon-driver-qemu',
  'libvirt-clients',
  'qemu-system-x86',
  'qemu-utils',
  'dnsmasq-base',
  'nftables',
  'iproute2',
  'zstd',
  'cpio',
  'kmod',
];

export async function missingPrograms(): Promise<string[]> {
  const there = await Promise.all(PROGRAMS.map((program) => anyExists(FOLDERS.map((folder) => `${folder}/${program}`))));
  return PROGRAMS.filter((_, index) => !there[index]);
}

/** @returns why libvirt cannot be installed here; undefined if it can. */
export async function installationObstacle(): Promise<string | undefined> {
  if (process.platform !== 'linux') return `real guests need Linux, and this is ${process.platform}`;
  if (process.arch !== 'x64') return `real guests need an x86-64 host, and this is ${process.arch}`;
  if (!(await anyExists(['/usr/bin/apt-get']))) return 'this is neither Debian nor Ubuntu';
  return undefined;
}

export async function installLibvirt(log: string, progress: Progress): Promise<void> {
  await progress.step('Updating the package lists (apt-get update)', () => apt(log, ['-qq', 'update']));
  await progress.step(`Installing ${PACKAGES.join(' ')}`, () =>
    apt(log, ['-qq', '-y', '--no-install-recommends', 'install', ...PACKAGES]),
  );
}

async function apt(log: string, args: string[]): Promise<void> {
  try {
    await run('apt-get', args, {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      maxBuffer: 64 * 1024 * 1024,
    });
  } catch (error) {
    const output = (error as { stderr?: string }).stderr?.trim() ?? String(error);
    await writeFile(log, output);
    throw new Error(
      `apt-get ${args.at(-1) === 'update' ? 'update' : 'install'} failed:\n${output.split('\n').slice(-8).join('\n')}\n` +
        'Put that right, or run without real guests: bin/up --hypervisor simulated',
      { cause: error },
    );
  }
}

/** Builds on the first use, in seconds; later calls find it up to date. */
export async function buildGuestImage(script: string, folder: string, signal: AbortSignal): Promise<void> {
  const build = spawn(script, [folder], { stdio: ['ignore', 'pipe', 'pipe'], signal });
  const output: string[] = [];
  for (const stream of [build.stdout, build.stderr]) stream.setEncoding('utf8').on('data', (text: string) => output.push(text));
  const [code] = (await once(build, 'close')) as [number | null];
  if (code !== 0) throw new Error(`The guest image could not be built:\n${output.join('').trim()}`);
}

const CLAIM_FOLDER = '/var/lib/baton';
const CLAIM = `${CLAIM_FOLDER}/all-in-one`;

/** @throws when the guests on this host are those of another clone's cloud that still exists. */
export async function claimHost(home: string): Promise<void> {
  const holder = (await readFile(CLAIM, 'utf8').catch(() => '')).trim();
  if (holder !== '' && holder !== home && (await anyExists([`${holder}/baton.env`])))
    throw new Error(
      `The virtual machines on this host belong to the cloud in ${holder}. Run bin/up there; or give it up ` +
        `(BATON_VAR=${holder} bin/up --fresh, then Ctrl-C); or run this one with --hypervisor simulated.`,
    );
  await mkdir(CLAIM_FOLDER, { recursive: true, mode: 0o755 });
  await writeFile(CLAIM, `${home}\n`);
}

export async function releaseHost(home: string): Promise<void> {
  if ((await readFile(CLAIM, 'utf8').catch(() => '')).trim() === home) await rm(CLAIM, { force: true });
}

const anyExists = async (paths: readonly string[]): Promise<boolean> =>
  (await Promise.all(paths.map((path) => access(path).then(() => true, () => false)))).includes(true);
