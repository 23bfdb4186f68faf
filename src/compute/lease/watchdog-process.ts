/**
 * Starts the watchdog and keeps it alive. It is started when it is first needed: before a guest starts that may be
 * started elsewhere, and with the worker where there may be such guests already. One that died is started again.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import type { Hypervisor } from '../hypervisor/hypervisor.js';
import { leaseFile, type Lease } from './lease.js';

const START_AGAIN_MS = 1_000;

export interface WatchdogOptions {
  readonly stateFolder: string;
  readonly hypervisor: Hypervisor['name'];
  readonly lease: Lease;
  readonly logger: Logger;
}

export class WatchdogProcess {
  private started: Promise<void> | undefined;
  private child: ChildProcess | undefined;
  private stopping = false;

  constructor(private readonly options: WatchdogOptions) {}

  /** Resolves when it watches. @throws when it cannot be started: then no guest that needs it may be. */
  ensure(): Promise<void> {
    this.started ??= this.start().catch((error: unknown) => {
      this.started = undefined;
      throw error;
    });
    return this.started;
  }

  /** Where guests of former workers may need it. */
  async resume(): Promise<void> {
    if (existsSync(leaseFile(this.options.stateFolder))) await this.ensure();
  }

  /** It is left running: guests run on too, and shall not without a lease. */
  leave(): void {
    this.stopping = true;
    this.child?.removeAllListeners('exit');
    this.child?.unref();
  }

  private async start(): Promise<void> {
    const { stateFolder, hypervisor, lease, logger } = this.options;
    const name = randomUUID();
    const log = openSync(join(stateFolder, 'watchdog.log'), 'a');
    const entry = fileURLToPath(new URL('./watchdog.js', import.meta.url));
    // A session of its own: what is sent to the worker's group does not reach it.
    const child = spawn(process.execPath, [entry, stateFolder, hypervisor, name], {
      detached: true,
      stdio: ['ignore', 'pipe', log],
      cwd: '/',
    });
    closeSync(log);
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`the watchdog ended at once (${code}); see watchdog.log in ${stateFolder}`)));
      child.stdout!.once('data', () => resolve());
    });
    child.stdout!.destroy();
    child.unref();
    lease.entrust(name);
    this.child = child;
    child.removeAllListeners('exit');
    child.once('exit', (code, signal) => this.restart(code ?? signal));
    logger.info({ pid: child.pid }, 'a watchdog looks after the lease of this node');
  }

  private restart(end: unknown): void {
    this.started = undefined;
    if (this.stopping) return;
    this.options.logger.error({ end }, 'the watchdog has ended, starting it again');
    this.ensure().catch((error: unknown) => {
      this.options.logger.error({ err: error }, 'the watchdog could not be started');
      setTimeout(() => this.restart('not started'), START_AGAIN_MS).unref();
    });
  }
}
