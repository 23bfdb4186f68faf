/**
 * The process's one thread for libvirt, shared by every connection in it: libvirt has a single event loop in a process,
 * and two threads that ran it would each be handed the other's callbacks, which ends in a crash.
 *
 * The first who joins starts the thread, the last who leaves ends it. One that is ending is waited for before the next
 * is started. News goes to all who have joined; an answer only to the one who asked.
 */
import { Worker } from 'node:worker_threads';
import { HypervisorError } from '../hypervisor.js';
import type { LibvirtError } from './bindings.js';
import { LibvirtCallError, type LongCalls, type QuickCalls } from './calls.js';

export type Calls = QuickCalls & LongCalls;
type Method = keyof Calls;

export interface ThreadSettings {
  readonly uri: string;
}

export interface ThreadRequest {
  readonly id: number;
  readonly method: Method;
  readonly args: readonly unknown[];
}

export type ThreadAnswer =
  | { readonly kind: 'answer'; readonly id: number; readonly answer: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly failure: LibvirtError };

/** How it stands with the connection to libvirt: the last one of these is told to whoever joins. */
export type ThreadState =
  | { readonly kind: 'connected' }
  | { readonly kind: 'disconnected' }
  | { readonly kind: 'unreachable'; readonly reason: string }
  | { readonly kind: 'unavailable'; readonly reason: string };

export type ThreadNews = ThreadState | { readonly kind: 'domain-changed'; readonly uuid: string };
export type ThreadMessage = ThreadAnswer | ThreadNews;

export interface ThreadListener {
  hear(news: ThreadNews): void;
  /** The thread ended though nobody had left it. */
  broke(error: Error): void;
}

interface Waiting {
  resolve(answer: unknown): void;
  reject(error: Error): void;
}

const CLOSE_TIMEOUT_MS = 10_000;

let current: LibvirtThread | undefined;
let ending: Promise<void> = Promise.resolve();

export class LibvirtThread {
  private readonly worker: Worker;
  private readonly listeners = new Set<ThreadListener>();
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 1;
  private state?: ThreadState;

  /** @throws HypervisorError when the process has a connection to another URI. */
  static async join(uri: string, listener: ThreadListener): Promise<LibvirtThread> {
    await ending;
    current ??= new LibvirtThread(uri);
    if (current.uri !== uri) {
      throw new HypervisorError(`One process has one libvirt: it is connected to ${current.uri}, not to ${uri}.`, false);
    }
    current.listeners.add(listener);
    if (current.state) listener.hear(current.state);
    return current;
  }

  private constructor(private readonly uri: string) {
    const settings: ThreadSettings = { uri };
    this.worker = new Worker(new URL('./connection-thread.js', import.meta.url), { workerData: settings });
    this.worker.on('message', (message: ThreadMessage) => this.receive(message));
    this.worker.on('error', (error) => this.end(error));
    this.worker.on('exit', () => this.end(new HypervisorError('the libvirt connection was closed', true)));
  }

  ask<M extends Method>(method: M, ...args: Parameters<Calls[M]>): Promise<Awaited<ReturnType<Calls[M]>>> {
    return new Promise((resolve, reject) => {
      const id = this.nextId++;
      this.waiting.set(id, { resolve: resolve as Waiting['resolve'], reject });
      this.worker.postMessage({ id, method, args } satisfies ThreadRequest);
    });
  }

  async leave(listener: ThreadListener): Promise<void> {
    this.listeners.delete(listener);
    if (this.listeners.size > 0 || current !== this) return;
    current = undefined;
    const exited = new Promise<void>((resolve) => this.worker.once('exit', () => resolve()));
    const deadline = setTimeout(() => void this.worker.terminate(), CLOSE_TIMEOUT_MS);
    this.worker.postMessage('close');
    ending = exited.then(() => clearTimeout(deadline));
    await ending;
  }

  private receive(message: ThreadMessage): void {
    if (message.kind === 'answer') return this.take(message.id)?.resolve(message.answer);
    if (message.kind === 'failure') return this.take(message.id)?.reject(new LibvirtCallError(message.failure));
    if (message.kind !== 'domain-changed') this.state = message;
    for (const listener of this.listeners) listener.hear(message);
  }

  private take(id: number): Waiting | undefined {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    return waiting;
  }

  private end(error: Error): void {
    if (current === this) current = undefined;
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
    for (const listener of this.listeners) listener.broke(error);
    this.listeners.clear();
  }
}
