/**
 * A host of its own on this machine, as far as libvirt can tell: namespaces for processes, mounts and network, and in
 * them libvirt's daemons with folders of their own. So one machine can have two nodes with the same VM, which on one
 * libvirt would be the same domain, and each sees its own guests alone.
 *
 * It owns what it starts: with its first process all others of it end, guests too, and its interfaces with them.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { access, cp, mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually } from '../support/eventually.js';

const run = promisify(execFile);

/** Empty at first, and nobody else's. */
const OWN_FOLDERS = ['/run', '/var/lib/libvirt', '/var/cache/libvirt', '/var/log/libvirt'];
const PATIENCE_MS = 30_000;
/** The first process of a host buries what others leave: libvirt waits for the QEMUs that it asked what they can do. */
const REAPING = ['bash', '-c', 'sleep infinity & wait'];

export interface HostProcess {
  freeze(): void;
  thaw(): void;
  lastOutput(): string;
}

export class VirtualHost {
  private readonly entering: ChildProcess[] = [];

  private constructor(
    private readonly first: ChildProcess,
    private readonly pid: number,
    /** Where the host reaches what this machine serves. */
    readonly gateway: string,
  ) {}

  /** @param number which of them it is, from 1; it has a network and an interface by it. */
  static async start(number: number, folder: string): Promise<VirtualHost> {
    const first = spawn('unshare', ['--mount', '--net', '--pid', '--fork', '--mount-proc', '--kill-child', ...REAPING], { stdio: 'ignore' });
    await once(first, 'spawn');
    const host = new VirtualHost(first, await childOf(first.pid!), `10.213.${number}.1`);
    try {
      await eventually(async () => expectFirst(await readFile(`/proc/${host.pid}/cmdline`, 'utf8')));
      await host.join(number);
      await host.startLibvirt(folder);
    } catch (error) {
      await host.stop();
      throw error;
    }
    return host;
  }

  async run(program: string, ...args: string[]): Promise<string> {
    return (await run('nsenter', [...this.within, program, ...args])).stdout;
  }

  async spawn(program: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<HostProcess> {
    const entering = spawn('nsenter', [...this.within, program, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [entering.stdout, entering.stderr]) stream.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-8_000)));
    await once(entering, 'spawn');
    this.entering.push(entering);
    const pid = await childOf(entering.pid!);
    return {
      freeze: () => void process.kill(pid, 'SIGSTOP'),
      // Nsenter stops with what it has started, and does not wake with it.
      thaw: () => void (process.kill(pid, 'SIGCONT') && entering.kill('SIGCONT')),
      lastOutput: () => output,
    };
  }

  async stop(): Promise<void> {
    if (this.first.exitCode !== null || this.first.signalCode !== null) return;
    const ended = once(this.first, 'exit');
    this.first.kill('SIGKILL');
    for (const entering of this.entering) entering.kill('SIGKILL');
    await ended;
  }

  private get within(): string[] {
    return ['--target', String(this.pid), '--mount', '--net', '--pid'];
  }

  private async join(number: number): Promise<void> {
    const outside = `baton-vh${number}-${process.pid}`.slice(0, 15);
    await run('ip', ['link', 'add', outside, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(this.pid)]);
    await run('ip', ['address', 'add', `${this.gateway}/30`, 'dev', outside]);
    await run('ip', ['link', 'set', outside, 'up']);
    await this.run('ip', 'link', 'set', 'lo', 'up');
    await this.run('ip', 'address', 'add', `10.213.${number}.2/30`, 'dev', 'eth0');
    await this.run('ip', 'link', 'set', 'eth0', 'up');
    await this.run('ip', 'route', 'add', 'default', 'via', this.gateway);
    // Those of this machine are not reached from here, and libvirt believes what is mounted; without any it does without.
    await this.run('umount', '--recursive', '/sys/fs/cgroup').catch(() => undefined);
    // What it tells of interfaces is that of whoever mounted it.
    await this.run('mount', '-t', 'sysfs', 'sysfs', '/sys');
  }

  private async startLibvirt(folder: string): Promise<void> {
    const settings = join(folder, 'etc');
    await mkdir(folder, { recursive: true });
    await cp('/etc/libvirt', settings, { recursive: true, filter: (path) => !path.endsWith('.xml') });
    await this.run('mount', '--bind', settings, '/etc/libvirt');
    for (const own of OWN_FOLDERS) {
      await mkdir(own, { recursive: true });
      await this.run('mount', '-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', own);
    }
    for (const [program, socket] of [['virtlogd', 'virtlogd-sock'], ['libvirtd', 'libvirt-sock']] as const) {
      const { lastOutput } = await this.spawn(`/usr/sbin/${program}`, []);
      await eventually(
        () => access(`/proc/${this.pid}/root/run/libvirt/${socket}`).catch(() => Promise.reject(new Error(`${program} does not start: ${lastOutput()}`))),
        PATIENCE_MS,
      );
    }
    await eventually(() => this.run('virsh', '-c', 'qemu:///system', 'list'), PATIENCE_MS);
    await rm(join(settings, 'qemu', 'networks', 'autostart'), { recursive: true, force: true });
  }
}

/** Both programs go on as the parent of what they start. */
const childOf = (pid: number): Promise<number> =>
  eventually(async () => {
    const child = Number((await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim());
    if (!child) throw new Error('it has not started yet');
    return child;
  });

function expectFirst(commandLine: string): void {
  if (!commandLine.startsWith('bash')) throw new Error('the host is not there yet');
}
