/**
 * The adapter's side of the connection thread: typed calls by promise, and the news from it.
 *
 * A lost connection fails the calls that need it, at once and retryably, and heals by itself; the listener of
 * `reconnected` must then look at everything again, because events of the meantime are lost.
 */
import type { Logger } from 'pino';
import { HypervisorError } from '../hypervisor.js';
import { LibvirtThread, type Calls, type ThreadListener, type ThreadNews } from './libvirt-thread.js';

export interface ConnectionListener {
  /** Again, after the connection had been lost. */
  reconnected(): void;
  domainChanged(uuid: string): void;
}

const OPEN_TIMEOUT_MS = 15_000;

export class LibvirtConnection {
  private thread?: LibvirtThread;
  private everConnected = false;
  private lastReason = '';
  private readonly ears: ThreadListener = {
    hear: (news) => this.receive(news),
    broke: (error) => {
      this.thread = undefined;
      this.opening?.(error);
      this.log.error({ err: error }, 'the thread of libvirt has ended');
    },
  };
  /** Settles `open`: without an error when libvirt has answered. */
  private opening?: (error?: Error) => void;

  constructor(
    private readonly uri: string,
    private readonly listener: ConnectionListener,
    private readonly log: Logger,
  ) {}

  /** @throws HypervisorError when libvirt is not installed or does not answer. */
  async open(): Promise<void> {
    let deadline: NodeJS.Timeout | undefined;
    const answered = new Promise<void>((resolve, reject) => {
      this.opening = (error) => (error ? reject(error) : resolve());
    });
    answered.catch(() => undefined);
    try {
      this.thread = await LibvirtThread.join(this.uri, this.ears);
      deadline = setTimeout(() => this.opening?.(unreachable(this.uri, this.lastReason)), OPEN_TIMEOUT_MS);
      await answered;
    } catch (error) {
      await this.close();
      throw error;
    } finally {
      clearTimeout(deadline);
      this.opening = undefined;
    }
  }

  async close(): Promise<void> {
    const { thread } = this;
    this.thread = undefined;
    await thread?.leave(this.ears);
  }

  async call<M extends keyof Calls>(method: M, ...args: Parameters<Calls[M]>): Promise<Awaited<ReturnType<Calls[M]>>> {
    if (!this.thread) throw new HypervisorError('The hypervisor of this node is not open.', true);
    return await this.thread.ask(method, ...args);
  }

  private receive(news: ThreadNews): void {
    switch (news.kind) {
      case 'domain-changed':
        return this.listener.domainChanged(news.uuid);
      case 'connected':
        this.opening?.();
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
        this.lastReason = news.reason;
        this.log.debug({ uri: this.uri, reason: news.reason }, 'libvirt does not answer');
        return;
      case 'unavailable':
        return this.opening?.(notInstalled(news.reason));
    }
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
