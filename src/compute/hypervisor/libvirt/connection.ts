/**
 * The adapter's side of the connection thread: typed calls by promise, and the news from it.
 *
 * Owns the thread. A lost connection fails the calls that need it, at once and retryably, and heals by itself; the
 * listener of `connected` must then look at everything again, because events of the meantime are lost.
 */
import { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import { HypervisorError } from '../hypervisor.js';
import type { LibvirtError } from './bindings.js';
import { LibvirtCallError, type LongCalls, type QuickCalls } from './calls.js';

type Calls = QuickCalls & LongCalls;
type Method = keyof Calls;

export interface ThreadSettings {
  readonly uri: string;
}

export interface ThreadRequest {
  readonly id: number;
  readonly method: Method;
  readonly args: readonly unknown[];
}

export type ThreadMessage =
  | { readonly kind: 'answer'; readonly id: number; readonly answer: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly failure: LibvirtError }
  | { readonly kind: 'domain-changed'; readonly uuid: string }
  | { readonly kind: 'connected' }
  | { readonly kind: 'disconnected' }
  | { readonly kind: 'unreachable'; readonly reason: string }
  | { readonly kind: 'unavailable'; readonly reason: string };

export interface ConnectionListener {
  /** Again, after the connection had been lost. */
  reconnected(): void;
  domainChanged(uuid: string): void;
}

interface Waiting {
  resolve(answer: unknown): void;
  reject(error: Error): void;
}

const OPEN_TIMEOUT_MS = 15_000;
const CLOSE_TIMEOUT_MS = 10_000;

export class LibvirtConnection {
  private thread?: Worker;
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 1;
  private everConnected = false;

  constructor(
    private readonly uri: string,
    private readonly listener: ConnectionListener,
    private readonly log: Logger,
  ) {}

  /** @throws HypervisorError when libvirt is not installed or does not answer. */
  async open(): Promise<void> {
    const settings: ThreadSettings = { uri: this.uri };
    const thread = new Worker(new URL('./connection-thread.js', import.meta.url), { workerData: settings });
    this.thread = thread;
    let lastReason = '';
    try {
      await new Promise<void>((resolve, reject) => {
        const deadline = setTimeout(() => reject(unreachable(this.uri, lastReason)), OPEN_TIMEOUT_MS);
        const settle = (finish: () => void) => {
          clearTimeout(deadline);
          finish();
        };
        thread.on('message', (message: ThreadMessage) => {
          if (message.kind === 'connected') settle(resolve);
          else if (message.kind === 'unavailable') settle(() => reject(notInstalled(message.reason)));
          else if (message.kind === 'unreachable') lastReason = message.reason;
          this.receive(message);
        });
        thread.on('error', (error) => settle(() => reject(error)));
        thread.on('exit', () => settle(() => this.failWaiting('the libvirt connection was closed')));
      });
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    const thread = this.thread;
    if (!thread) return;
    this.thread = undefined;
    const exited = new Promise<void>((resolve) => thread.once('exit', () => resolve()));
    thread.postMessage('close');
    const deadline = setTimeout(() => void thread.terminate(), CLOSE_TIMEOUT_MS);
    await exited;
    clearTimeout(deadline);
  }

  call<M extends Method>(method: M, ...args: Parameters<Calls[M]>): Promise<Awaited<ReturnType<Calls[M]>>> {
    return new Promise((resolve, reject) => {
      if (!this.thread) return reject(new HypervisorError('The hypervisor of this node is not open.', true));
      const id = this.nextId++;
      this.waiting.set(id, { resolve: resolve as Waiting['resolve'], reject });
      this.thread.postMessage({ id, method, args } satisfies ThreadRequest);
    });
  }

  private receive(message: ThreadMessage): void {
    switch (message.kind) {
      case 'answer':
        return this.take(message.id)?.resolve(message.answer);
      case 'failure':
        return this.take(message.id)?.reject(new LibvirtCallError(message.failure));
      case 'domain-changed':
        return this.listener.domainChanged(message.uuid);
      case 'connected':
        if (this.everConnected) {
          this.log.info({ uri: this.uri }, 'libvirt is back');
          this.listener.reconnected();
        }
        this.everConnected = true;
        return;
      case 'disconnected':
        this.log.warn({ uri: this.uri }, 'the connection to libvirt is lost; guests run on, trying again');
        return;
      case 'unreachable':
        this.log.debug({ uri: this.uri, reason: message.reason }, 'libvirt does not answer');
        return;
      case 'unavailable':
        return;
    }
  }

  private take(id: number): Waiting | undefined {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    return waiting;
  }

  private failWaiting(reason: string): void {
    for (const { reject } of this.waiting.values()) reject(new HypervisorError(reason, true));
    this.waiting.clear();
  }
}

function unreachable(uri: string, reason: string): HypervisorError {
  const message = `libvirt does not answer at ${uri}: ${reason || 'no answer in time'}. Is libvirtd running on this host?`;
  return new HypervisorError(message, true);
}

function notInstalled(reason: string): HypervisorError {
  const message =
    'libvirt is not installed on this host: apt-get install libvirt-daemon-system qemu-system-x86, ' +
    'or choose the simulated hypervisor';
  return new HypervisorError(message, false, { cause: new Error(reason) });
}
