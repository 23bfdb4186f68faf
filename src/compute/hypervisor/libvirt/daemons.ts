/**
 * Starts libvirt's daemons on a host that has no service manager to do it: a container, a minimal machine.
 *
 * A daemon that already answers is left alone, whoever started it. What was started here is remembered by process id
 * and only that is stopped. Guests are processes of their own and run on when the daemons stop.
 */
import { spawn } from 'node:child_process';
import { access, mkdir, open, readFile, type FileHandle } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { HypervisorError } from '../hypervisor.js';

interface Daemon {
  readonly program: string;
  /** Where it listens once it is ready. */
  readonly socket: string;
}

/** In the order of their start: without virtlogd no guest with a console log starts. */
const DAEMONS: readonly Daemon[] = [
  { program: 'virtlogd', socket: '/run/libvirt/virtlogd-sock' },
  { program: 'libvirtd', socket: '/run/libvirt/libvirt-sock' },
];
const FOLDERS_OF_PROGRAMS = ['/usr/sbin', '/usr/bin', '/sbin', '/usr/local/sbin'];
const READY_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 10_000;
const LOOK_EVERY_MS = 50;

export interface StartedDaemon {
  readonly program: string;
  readonly pid: number;
}

export interface LibvirtDaemons {
  /** Those that were started here. */
  readonly started: readonly StartedDaemon[];
  stop(): Promise<void>;
}

export async function ensureLibvirtDaemons(): Promise<LibvirtDaemons> {
  const started: StartedDaemon[] = [];
  const stop = async () => {
    for (const daemon of started.splice(0).reverse()) await stopDaemon(daemon);
  };
  try {
    for (const daemon of DAEMONS) {
      if (await answers(daemon.socket)) continue;
      started.push({ program: daemon.program, pid: await startDaemon(daemon) });
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return { started: [...started], stop };
}

async function startDaemon({ program, socket }: Daemon): Promise<number> {
  const path = await find(program);
  const log = await openLog(program);
  // In the foreground, so that its process id is known; in a session of its own, so that Ctrl-C does not reach it.
  const child = spawn(path, [], { detached: true, stdio: ['ignore', 'ignore', log.fd] });
  let ended = false;
  child.on('error', () => (ended = true));
  child.on('exit', () => (ended = true));
  await log.close();
  for (const deadline = Date.now() + READY_TIMEOUT_MS; Date.now() < deadline && !ended; await delay(LOOK_EVERY_MS)) {
    if (!(await answers(socket))) continue;
    child.unref();
    return child.pid!;
  }
  if (child.pid !== undefined && !ended) await stopDaemon({ program, pid: child.pid });
  throw new HypervisorError(`${program} does not start on this host: see ${logFileOf(program)}`, false);
}

const logFileOf = (program: string) => `/var/log/libvirt/${program}.log`;

async function openLog(program: string): Promise<FileHandle> {
  await mkdir(dirname(logFileOf(program)), { recursive: true });
  return open(logFileOf(program), 'a', 0o600);
}

async function find(program: string): Promise<string> {
  for (const folder of FOLDERS_OF_PROGRAMS) {
    const path = `${folder}/${program}`;
    if (await access(path).then(() => true, () => false)) return path;
  }
  throw new HypervisorError(
    `${program} is not installed on this host: apt-get install libvirt-daemon-system qemu-system-x86`,
    false,
  );
}

async function stopDaemon({ program, pid }: StartedDaemon): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (!(await runs(program, pid))) return;
    process.kill(pid, signal);
    for (const deadline = Date.now() + STOP_TIMEOUT_MS; Date.now() < deadline; await delay(LOOK_EVERY_MS)) {
      if (!(await runs(program, pid))) return;
    }
  }
}

/** A process id can be given to somebody else: only the program that was started counts. */
async function runs(program: string, pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat.includes(`(${program})`) && !stat.includes(') Z ');
}

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const attempt = connect(socket);
    const settle = (answer: boolean) => {
      attempt.destroy();
      resolve(answer);
    };
    attempt.once('connect', () => settle(true));
    attempt.once('error', () => settle(false));
  });
}
