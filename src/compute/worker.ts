/**
 * One compute node's worker, from the first look at the host to the last report. It owns the order in which the parts
 * come up and go down; each part knows only its own work.
 *
 * Up: hypervisor, registration, metadata, heartbeat, tasks. Down: no new tasks, those in hand may finish for a while,
 * what they have to report is reported, and only then the rest goes. A worker that the conductor has evicted begins
 * nothing more on the host and leaves its queue: its successor may be at work there already.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common';
import type { Logger } from 'pino';
import type { Config } from '../config/settings.js';
import type { Subscription, TaskConsumer } from '../messaging/task-bus.js';
import { PROTOCOL_VERSION } from '../protocol/task.js';
import type { RegisterAnswer } from '../protocol/node.js';
import type { ConductorClient } from './uplink/conductor-client.js';
import { ConsoleReader } from './uplink/console-reader.js';
import { ConsoleTunnels } from './uplink/console-tunnels.js';
import { HeartbeatLoop } from './uplink/heartbeat.js';
import { NodeKeyFile } from './uplink/node-key.js';
import { register } from './uplink/registration.js';
import { Reporter } from './uplink/reporter.js';
import { VolumeChores } from './disks/volume-chores.js';
import type { Hypervisor } from './hypervisor/hypervisor.js';
import { ImageFetching } from './images/image-fetching.js';
import type { MetadataProxy } from './metadata-proxy.js';
import { gatewayOf, parseSubnet } from './network/subnet.js';
import { TaskRunner } from './tasks/task-runner.js';

const FINISH_WITHIN_MS = 10_000;

export interface ComputeWorkerOptions {
  /** The caller's: closed by the caller after the worker has stopped, which gives back what was left unacknowledged. */
  readonly consumer: TaskConsumer;
  readonly conductorUrl: string;
  readonly nodeName: string;
  readonly logger: Logger;
  /** Default: the configuration's. */
  readonly joinToken?: string;
  /** Default: the configuration's. */
  readonly hypervisor?: Hypervisor;
  /** Default: the process is told to end (SIGTERM) with exit code 1. */
  readonly onEvicted?: (reason: Error) => void;
}

interface Session {
  readonly reporter: Reporter;
  readonly runner: TaskRunner;
  readonly heartbeat: HeartbeatLoop;
  readonly images: ImageFetching;
  readonly tunnels: ConsoleTunnels;
}

export class ComputeWorker implements OnApplicationBootstrap, OnModuleDestroy {
  private session: Session | undefined;
  private subscription: Subscription | undefined;
  private evicted = false;
  private readonly stopping = new AbortController();

  constructor(
    private readonly config: Config,
    private readonly options: ComputeWorkerOptions,
    private readonly logger: Logger,
    private readonly hypervisor: Hypervisor,
    private readonly client: ConductorClient,
    private readonly metadata: MetadataProxy,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    try {
      await this.hypervisor.open();
      const answer = await this.register();
      await this.serveMetadata();
      const { runner, heartbeat } = (this.session = this.makeSession(answer));
      this.hypervisor.onPowerChange(runner.onPowerChange);
      heartbeat.start();
      this.subscription = await this.options.consumer.consume(answer.queue, this.config.concurrency, runner.onDelivery);
      if (this.evicted) await this.leaveQueue();
      this.logger.info({ queue: answer.queue, session: answer.session, hypervisor: this.hypervisor.name }, 'the compute worker is at work');
    } catch (error) {
      await this.onModuleDestroy();
      throw error;
    }
  }

  async onModuleDestroy(): Promise<void> {
    this.stopping.abort();
    if (this.session) await this.finish(this.session);
    for (const part of [this.metadata, this.hypervisor, this.client])
      await part.close().catch((error: unknown) => this.logger.warn({ err: error }, 'a part of the worker did not close'));
  }

  private async finish({ reporter, runner, heartbeat, images, tunnels }: Session): Promise<void> {
    images.stop();
    await this.leaveQueue();
    await tunnels.close();
    const over = new AbortController();
    const drained = runner.drained().then(() => reporter.flushed());
    await Promise.race([drained, sleep(FINISH_WITHIN_MS, undefined, { signal: over.signal }).catch(() => undefined)]);
    over.abort();
    runner.halt();
    reporter.stop(new Error('the worker has stopped'));
    await heartbeat.stop();
  }

  private async leaveQueue(): Promise<void> {
    const subscription = this.subscription;
    this.subscription = undefined;
    await subscription?.cancel().catch((error: unknown) => this.logger.warn({ err: error }, 'the queue was not left in order'));
  }

  private async register(): Promise<RegisterAnswer> {
    const { name, acceleration } = this.hypervisor;
    const request = {
      name: this.options.nodeName,
      region: this.config.region,
      hypervisor: name,
      acceleration,
      protocolVersion: PROTOCOL_VERSION,
      capacity: await this.hypervisor.capacity(),
    };
    return await register(request, {
      client: this.client,
      keyFile: new NodeKeyFile(this.config.stateFolder),
      joinToken: this.options.joinToken ?? this.config.joinToken,
      logger: this.logger,
      signal: this.stopping.signal,
    });
  }

  /** Simulated guests ask for nothing, and their network does not exist. */
  private async serveMetadata(): Promise<void> {
    if (this.hypervisor.name === 'libvirt')
      await this.metadata.listen(gatewayOf(parseSubnet(this.config.subnet)), this.config.metadataPort);
  }

  private makeSession({ session, heartbeatSeconds, leaseSeconds }: RegisterAnswer): Session {
    const { hypervisor, client, logger } = this;
    const shared = { session, nodeName: this.options.nodeName, logger, onEvicted: (reason: Error) => this.evict(reason) };
    const reporter = new Reporter({ ...shared, send: (batch) => client.report(batch) });
    const runner = new TaskRunner({ hypervisor, logger, report: (draft) => reporter.report(draft) });
    const reader = new ConsoleReader({
      read: (identity, bytes) => hypervisor.consoleLog(identity, bytes),
      send: (request, text) => client.sendConsoleLog(request, { session, text }),
      logger,
    });
    const tunnels = new ConsoleTunnels({
      dial: (console) => client.dialConsole(console, session),
      openConsole: (identity, kind) => hypervisor.openConsole(identity, kind),
      logger,
    });
    const chores = new VolumeChores({
      prepare: (volume) => hypervisor.prepareVolume(volume),
      confirmPrepared: (volume) => client.volumesPrepared({ session, volumes: [volume] }),
      remove: (uuid) => hypervisor.removeVolume(uuid),
      confirmRemoved: (uuid) => client.volumesRemoved({ session, volumes: [uuid] }),
      logger,
    });
    const images = new ImageFetching({
      fetch: (order, onProgress, signal) => hypervisor.fetchImage(order, onProgress, signal),
      tell: (news) => client.tellOfImages({ session, news }),
      logger,
    });
    const heartbeat = new HeartbeatLoop({
      ...shared,
      everySeconds: heartbeatSeconds,
      timeLimitMs: Math.ceil((leaseSeconds * 1000) / 3),
      inventory: () => hypervisor.inventory(),
      send: async (beat, signal) => {
        const { consoleLogs = [], consoles = [], removeVolumes = [], prepareVolumes = [], fetchImages = [] } = await client.heartbeat(beat, signal);
        reader.asked(consoleLogs);
        tunnels.asked(consoles);
        chores.askedToRemove(removeVolumes);
        chores.askedToPrepare(prepareVolumes);
        images.asked(fetchImages);
      },
    });
    return { reporter, runner, heartbeat, images, tunnels };
  }

  private evict(reason: Error): void {
    if (this.evicted || this.stopping.signal.aborted) return;
    this.evicted = true;
    this.session?.runner.halt();
    this.session?.reporter.stop(reason);
    this.session?.images.stop();
    void this.session?.tunnels.close();
    void this.leaveQueue();
    this.logger.fatal(reason.message);
    const { onEvicted = endProcess } = this.options;
    onEvicted(reason);
  }
}

function endProcess(): void {
  process.exitCode = 1;
  process.kill(process.pid, 'SIGTERM');
}
