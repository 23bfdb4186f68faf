/**
 * Finds out whether guests really run under KVM on this host, by booting one.
 *
 * Neither /dev/kvm nor libvirt's capabilities can be believed: in nested set-ups both may be there and every guest
 * dies. The probe boots the tiny guest's kernel and waits for its init's first line on the serial console. The answer
 * is kept for as long as the host runs (its boot id), because kernel and firmware change only with a reboot.
 */
import { randomUUID } from 'node:crypto';
import { access, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { ensureBootFile } from '../../disks/boot-file.js';
import type { LibvirtConnection } from './connection.js';
import { domainXml, type Accelerator } from './domain-document.js';
import type { LibvirtHypervisorOptions } from './options.js';

export interface ProbeGuest {
  /** Paths of the tiny guest's `vmlinuz` and `initrd.img`: see guest-image/. */
  readonly kernel: string;
  readonly initrd: string;
}

export interface ProbeOptions {
  readonly node: string;
  /** Where the probe's files and the remembered answer go. QEMU's user must be able to reach it. */
  readonly folder: string;
  readonly guest?: ProbeGuest;
  /** Default: /dev/kvm. */
  readonly device?: string;
  /** For each CPU mode. Default: 15 s. */
  readonly deadlineMs?: number;
}

export interface ProbeResult {
  readonly accelerator: Accelerator;
  /** Why it is not KVM. */
  readonly reason?: string;
}

export const memoryOf = (folder: string): string => join(folder, 'acceleration.json');

const CPU_MODES = ['host-passthrough', 'host-model'] as const;
const SIGN_OF_LIFE = 'init started';
const DEFAULT_DEADLINE_MS = 15_000;
const LOOK_EVERY_MS = 100;
const PROBE_MEMORY_MIB = 128;

type Connection = Pick<LibvirtConnection, 'call'>;

/** As the operator wants it; by default what a probe finds out. */
export async function chooseAccelerator(
  connection: Connection,
  options: Pick<LibvirtHypervisorOptions, 'acceleration' | 'node' | 'probeGuest' | 'log'> & Pick<ProbeOptions, 'folder'>,
): Promise<Accelerator> {
  const { acceleration = 'probe', node, folder, probeGuest, log } = options;
  if (acceleration === 'kvm') return { kind: 'kvm', cpuMode: 'host-passthrough' };
  if (acceleration === 'tcg') return { kind: 'tcg' };
  const { accelerator, reason } = await probeAcceleration(connection, { node, folder, guest: probeGuest }, log);
  if (reason) log.warn({ reason }, 'guests are emulated (TCG), which is many times slower than KVM');
  else log.info(accelerator, 'guests run under KVM');
  return accelerator;
}

export async function probeAcceleration(connection: Connection, options: ProbeOptions, log: Logger): Promise<ProbeResult> {
  const { device = '/dev/kvm', guest, folder } = options;
  // Neither is remembered: both may come before the host restarts.
  if (!(await exists(device))) return emulated(`this host has no ${device}`);
  if (!guest) return emulated('no guest image to probe KVM with is configured');

  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  const memory = memoryOf(folder);
  const remembered = await recall(memory, bootId);
  if (remembered) return remembered;

  const result = await probe(connection, options, guest, log);
  const temporary = `${memory}.${randomUUID()}`;
  await writeFile(temporary, JSON.stringify({ bootId, ...result }, null, 2));
  await rename(temporary, memory);
  if (result.reason) log.info(`this is remembered until the host restarts; to try KVM again earlier, delete ${memory}`);
  return result;
}

const emulated = (reason: string): ProbeResult => ({ accelerator: { kind: 'tcg' }, reason });

async function recall(path: string, bootId: string): Promise<ProbeResult | undefined> {
  try {
    const { bootId: rememberedBoot, ...result } = JSON.parse(await readFile(path, 'utf8')) as ProbeResult & {
      bootId: string;
    };
    return rememberedBoot === bootId ? result : undefined;
  } catch {
    // Not there, or cut off by a crash: probe again.
    return undefined;
  }
}

async function probe(
  connection: Connection,
  options: ProbeOptions,
  guest: ProbeGuest,
  log: Logger,
): Promise<ProbeResult> {
  await removeProbesOfTheDead(connection, options.node);
  const failures: string[] = [];
  for (const cpuMode of CPU_MODES) {
    const accelerator: Accelerator = { kind: 'kvm', cpuMode };
    const failure = await bootOnce(connection, options, guest, accelerator);
    if (!failure) return { accelerator };
    log.info({ cpuMode, failure }, 'a guest did not boot under KVM');
    failures.push(`${cpuMode}: ${failure}`);
  }
  return emulated(`KVM is there, but no guest boots under it (${failures.join('; ')})`);
}

/** @returns why it did not come up, or undefined when it did. */
async function bootOnce(
  connection: Connection,
  { node, folder, deadlineMs = DEFAULT_DEADLINE_MS }: ProbeOptions,
  guest: ProbeGuest,
  accelerator: Accelerator,
): Promise<string | undefined> {
  const uuid = randomUUID();
  const probeFolder = join(folder, `probe-${uuid}`);
  const consoleLog = join(probeFolder, 'console.log');
  const kernel = { path: join(probeFolder, 'vmlinuz'), initrd: join(probeFolder, 'initrd.img') };
  const xml = domainXml({
    name: `${namePrefix(node)}${uuid.slice(0, 8)}`,
    uuid,
    accelerator,
    vcpus: 1,
    memoryMib: PROBE_MEMORY_MIB,
    kernel: { ...kernel, arguments: 'console=ttyS0 panic=-1' },
    consoleLog,
    onReboot: 'destroy',
  });
  try {
    await mkdir(probeFolder, { mode: 0o711 });
    await ensureBootFile(guest.kernel, kernel.path);
    await ensureBootFile(guest.initrd, kernel.initrd);
    let start: 'under way' | 'done' | Error = 'under way';
    // Not waited for: the deadline holds for a QEMU too that never says whether it has started.
    connection.call('startTransientDomain', xml).then(
      () => (start = 'done'),
      (error: Error) => (start = error),
    );
    const outcome = (): typeof start => start;
    for (const deadline = Date.now() + deadlineMs; Date.now() < deadline; await delay(LOOK_EVERY_MS)) {
      const started = outcome();
      if (started instanceof Error) return started.message;
      const output = await readFile(consoleLog, 'latin1').catch(() => '');
      if (output.includes(SIGN_OF_LIFE)) return undefined;
      if (started === 'done' && (await connection.call('domain', uuid))?.state !== 'running') return 'the guest died while booting';
    }
    return `no sign of life within ${deadlineMs / 1000} s`;
  } catch (error) {
    return (error as Error).message;
  } finally {
    await connection.call('powerOff', uuid).catch(() => undefined);
    await rm(probeFolder, { recursive: true, force: true });
  }
}

const PROBES = 'baton-probe-';
const namePrefix = (node: string): string => `${PROBES}${node}-`;

/** By the name of a domain: a probe of some node on this host. */
export const isProbe = (name: string): boolean => name.startsWith(PROBES);

/** Of a worker that was killed while it probed: nothing else would ever stop them. */
async function removeProbesOfTheDead(connection: Connection, node: string): Promise<void> {
  for (const { name, uuid } of await connection.call('listDomains')) {
    if (name.startsWith(namePrefix(node)) && /^[0-9a-f]{8}$/.test(name.slice(namePrefix(node).length)))
      await connection.call('powerOff', uuid);
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
