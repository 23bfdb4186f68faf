/**
 * The one thread that talks to libvirt: entry file of a worker thread, started by `connection.ts`.
 *
 * It owns the connections, libvirt's event loop and the reconnecting; requests and answers cross by message. The event
 * loop is run without blocking, from a Node timer, so that a request never waits for it. Nothing may use libvirt in
 * another thread of this process: the last error and the callbacks belong to this one.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { loadLibvirt, type Handle, type Libvirt } from './bindings.js';
import { LibvirtCallError, longCalls, quickCalls, uuidOf } from './calls.js';
import type { ThreadMessage, ThreadRequest, ThreadSettings } from './libvirt-thread.js';

const EVENT_LOOP_MS = 20;
const RECONNECT_MS = 500;
const KEEPALIVE = { intervalSeconds: 5, count: 3 };
const LIFECYCLE_EVENT = 0;
const NOT_CONNECTED = { code: -1, message: 'not connected to libvirt' };

const port = parentPort!;
const { uri } = workerData as ThreadSettings;
const post = (message: ThreadMessage) => port.postMessage(message);

function run(libvirt: Libvirt): void {
  const { functions: call, callbacks } = libvirt;
  let main: Handle | undefined;
  let lifecycleEvents = -1;
  let nextAttempt = 0;
  const idle: Handle[] = [];

  call.virInitialize();
  libvirt.silenceErrors();
  call.virEventRegisterDefaultImpl();
  // A timer that is always due makes each run of the loop return at once.
  const timer = call.virEventAddTimeout(0, libvirt.doNothing, null, null) as number;
  const onLifecycle = callbacks.lifecycle((_connection, domain) => {
    post({ kind: 'domain-changed', uuid: uuidOf(libvirt, domain) });
    return 0;
  });

  const open = (): Handle => {
    const connection = call.virConnectOpen(uri) as Handle | null;
    if (!connection) throw new LibvirtCallError(libvirt.lastError());
    call.virConnectSetKeepAlive(connection, KEEPALIVE.intervalSeconds, KEEPALIVE.count);
    return connection;
  };
  const isAlive = (connection: Handle) => call.virConnectIsAlive(connection) === 1;
  const dropConnections = () => {
    // The registration holds the connection open, and libvirt would go on calling a thread that has ended.
    if (main) call.virConnectDomainEventDeregisterAny(main, lifecycleEvents);
    for (const connection of [...idle.splice(0), ...(main ? [main] : [])]) call.virConnectClose(connection);
    main = undefined;
  };

  const connect = () => {
    nextAttempt = Date.now() + RECONNECT_MS;
    try {
      const connection = open();
      const registration = [connection, null, LIFECYCLE_EVENT, onLifecycle, null, null] as const;
      lifecycleEvents = call.virConnectDomainEventRegisterAny(...registration) as number;
      if (lifecycleEvents < 0) {
        const failure = libvirt.lastError();
        call.virConnectClose(connection);
        throw new LibvirtCallError(failure);
      }
      main = connection;
      post({ kind: 'connected' });
    } catch (error) {
      post({ kind: 'unreachable', reason: (error as Error).message });
    }
  };

  const requests = {
    ...quickCalls(libvirt, () => {
      if (!main) throw new LibvirtCallError(NOT_CONNECTED);
      return main;
    }),
    ...longCalls(libvirt, {
      borrow: () => {
        for (let connection = idle.pop(); connection; connection = idle.pop()) {
          if (isAlive(connection)) return connection;
          call.virConnectClose(connection);
        }
        return open();
      },
      giveBack: (connection) => {
        if (main && isAlive(connection)) idle.push(connection);
        else call.virConnectClose(connection);
      },
    }),
  };

  const turn = () => {
    call.virEventRunDefaultImpl();
    if (main && !isAlive(main)) {
      dropConnections();
      post({ kind: 'disconnected' });
    }
    if (!main && Date.now() >= nextAttempt) connect();
  };
  const loop = setInterval(turn, EVENT_LOOP_MS);

  const serve = async ({ id, method, args }: ThreadRequest) => {
    try {
      const answer: unknown = await (requests[method] as (...args: unknown[]) => unknown)(...args);
      post({ kind: 'answer', id, answer });
    } catch (error) {
      const failure = error instanceof LibvirtCallError ? error.failure : { code: 0, message: String(error) };
      post({ kind: 'failure', id, failure });
    }
  };
  port.on('message', (request: ThreadRequest | 'close') => {
    if (request !== 'close') return void serve(request);
    clearInterval(loop);
    dropConnections();
    // Once more, for what libvirt frees from within its loop. Then the timer goes: the next thread has its own.
    call.virEventRunDefaultImpl();
    call.virEventRemoveTimeout(timer);
    port.close();
  });
  connect();
}

try {
  run(loadLibvirt());
} catch (error) {
  post({ kind: 'unavailable', reason: (error as Error).message });
  port.close();
}
