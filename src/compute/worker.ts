/**
 * One compute node's worker, from the first look at the host to the last report. It owns the order in which the parts
 * come up and go down; each part knows only its own work.
 *
 * Up: hypervisor, registration, what ended meanwhile removed, metadata, heartbeat, tasks. A worker that has lost its
 * lease (`lease/lease.ts`) ends its session, stops the guests that may be started elsewhere, and comes up again by
 * registering anew. Down: no new tasks, those in hand may finish for a while,
 * what they have to report is reported, and only then the rest goes. A worker that the conductor has evicted begins
 * nothing more on the host and leaves its queue: its successor may be at work there already.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common';
import type { Logger } from 'pino';
import type { Config } from '../config/settings.js';
import type { Subscription, TaskConsumer } from '../messaging/task-bus.js';
import type { SampleBatch } from '../protocol/metrics.js';
import { PROTOCOL_VERSION } from '../protocol/task.js';
import type { IncarnationRef, RegisterAnswer } from '../protocol/node.js';
import type { ConductorClient } from './uplink/conductor-client.js';
import { ConsoleReader } from './uplink/console-reader.js';
import { ConsoleTunnels } from './uplink/console-tunnels.js';
import { HeartbeatLoop } from './uplink/heartbeat.js';
import { NodeKeyFile } from './uplink/node-key.js';
import { register } from './uplink/registration.js';
import { Reporter } from './uplink/reporter.js';
import { SnapshotRemoval } from './disks/snapshot-removal.js';
import { VolumeChores } from './disks/volume-chores.js';
import type { Hypervisor } from './hypervisor/hypervisor.js';
import { ImageFetching } from './images/image-fetching.js';
import { Lease } from './lease/lease.js';
import { WatchdogProcess } from './lease/watchdog-process.js';
import type { MetadataProxy } from './metadata-proxy.js';
import { Sampler } from './metrics/sampler.js';
import { TaskRunner } from './tasks/task-runner.js';

const FINISH_WITHIN_MS = 10_000;
/** How often the worker looks whether its lease has run out. */
const LEASE_CHECK_MS = 250;

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
  /** Default: a process of its own. */
  readonly watchdog?: Pick<WatchdogProcess, 'ensure' | 'resume' | 'leave'>;
  /** Default: the process is told to end (SIGTERM) with exit code 1. */
  readonly onEvicted?: (reason: Error) => void;
}

interface Session {
  readonly reporter: Reporter;
  readonly runner: TaskRunner;
  readonly heartbeat: HeartbeatLoop;
  readonly images: ImageFetching;
  readonly tunnels: ConsoleTunnels;
  /** None where the conductor does not want to know. */
  readonly sampler: Sampler | undefined;
}

export class ComputeWorker implements OnApplicationBootstrap, OnModuleDestroy {
  private session: Session | undefined;
  private subscription: Subscription | undefined;
  private evicted = false;
  private metadataServed = false;
  private joining = false;
  private rejoining: Promise<void> | undefined;
  private leaseCheck: NodeJS.Timeout | undefined;
  private readonly lease: Lease;
  private readonly watchdog: Pick<WatchdogProcess, 'ensure' | 'resume' | 'leave'>;
  private readonly stopping = new AbortController();

  constructor(
    private readonly config: Config,
    private readonly options: ComputeWorkerOptions,
    private readonly logger: Logger,
    private readonly hypervisor: Hypervisor,
    private readonly client: ConductorClient,
    private readonly metadata: MetadataProxy,
  ) {
    const { stateFolder } = config;
    this.lease = new Lease(stateFolder);
    this.watchdog =
      options.watchdog ?? new WatchdogProcess({ stateFolder, hypervisor: hypervisor.name, lease: this.lease, logger });
  }

  async onApplicationBootstrap(): Promise<void> {
    try {
      await this.hypervisor.open();
      this.hypervisor.guardStarts(() => this.lease.assertHeld());
      this.hypervisor.onPowerChange((change) => {
        // What the watchdog has switched off was not switched off by its owner.
        this.checkLease();
        this.session?.runner.onPowerChange(change);
      });
      await this.join();
      this.leaseCheck = setInterval(() => this.checkLease(), LEASE_CHECK_MS);
    } catch (error) {
      await this.onModuleDestroy();
      throw error;
    }
  }

  async onModuleDestroy(): Promise<void> {
    this.stopping.abort();
    clearInterval(this.leaseCheck);
    this.watchdog.leave();
    await this.rejoining;
    if (this.session) await this.finish(this.session);
    for (const part of [this.metadata, this.hypervisor, this.client])
      await part.close().catch((error: unknown) => this.logger.warn({ err: error }, 'a part of the worker did not close'));
  }

  private async finish({ reporter, runner, heartbeat, images, tunnels, sampler }: Session): Promise<void> {
    images.stop();
    await sampler?.stop();
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

  /** From the registration to the first task. */
  private async join(): Promise<void> {
    this.joining = true;
    const answer = await this.register();
    await this.watchdog.resume();
    await this.hypervisor.unfence();
    const session = (this.session = this.makeSession(answer));
    await this.removeEnded(answer.ended ?? [], session.reporter);
    await this.serveMetadata();
    session.heartbeat.start();
    session.sampler?.start();
    this.subscription = await this.options.consumer.consume(answer.queue, this.config.concurrency, session.runner.onDelivery);
    this.joining = false;
    if (this.evicted) await this.leaveQueue();
    this.logger.info({ queue: answer.queue, session: answer.session, hypervisor: this.hypervisor.name }, 'the compute worker is at work');
  }

  /** The guest may run on another node now: nothing of it is left here before anything else is begun. */
  private async removeEnded(ended: readonly IncarnationRef[], reporter: Reporter): Promise<void> {
    for (const identity of ended) {
      await this.hypervisor.remove(identity);
      this.logger.info(identity, 'removed what there was of a VM that was started elsewhere');
      // It is asked for again at the next registration if this does not get through.
      reporter.report({ incarnationId: identity.incarnationId, generation: 1, observed: 'absent' }).catch(() => undefined);
    }
  }

  private checkLease(): void {
    if (this.lease.held || this.session === undefined || this.joining || this.evicted || this.stopping.signal.aborted) return;
    const session = this.session;
    this.session = undefined;
    this.logger.error('no conductor has heard this node for the term of its lease: stopping VMs that may be started elsewhere');
    this.rejoining = this.rejoin(session).catch((error: unknown) => {
      if (!this.stopping.signal.aborted) this.evict(error as Error);
    });
  }

  private async rejoin({ runner, reporter, heartbeat, images, tunnels, sampler }: Session): Promise<void> {
    runner.haltAndForget();
    reporter.stop(new Error('the lease of the node has run out'));
    images.stop();
    void tunnels.close();
    void sampler?.stop();
    // The watchdog does the same; whoever comes first.
    await this.hypervisor.fence().catch((error: unknown) => this.logger.error({ err: error }, 'not every VM could be stopped'));
    await heartbeat.stop();
    await this.leaveQueue();
    // What was begun under the old lease must not start anything under the new one.
    await runner.drained();
    await this.join();
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
      fencing: true as const,
    };
    let sentAt = this.lease.now();
    const answer = await register(request, {
      client: this.client,
      keyFile: new NodeKeyFile(this.config.stateFolder),
      joinToken: this.options.joinToken ?? this.config.joinToken,
      logger: this.logger,
      signal: this.stopping.signal,
      onAttempt: () => (sentAt = this.lease.now()),
    });
    this.lease.begin(sentAt, answer.fenceSeconds);
    return answer;
  }

  /** Simulated guests ask for nothing, and their network does not exist. */
  private async serveMetadata(): Promise<void> {
    if (this.hypervisor.name !== 'libvirt' || this.metadataServed) return;
    await this.metadata.listen(this.config.metadataAddress, this.config.metadataPort);
    this.metadataServed = true;
  }

  private makeSession({ session, heartbeatSeconds, leaseSeconds, metricsSeconds }: RegisterAnswer): Session {
    const { hypervisor, client, logger } = this;
    const shared = { session, nodeName: this.options.nodeName, logger, onEvicted: (reason: Error) => this.evict(reason) };
    const reporter = new Reporter({ ...shared, send: (batch) => client.report(batch) });
    const runner = new TaskRunner({
      hypervisor,
      logger,
      report: (draft) => reporter.report(draft),
      beforeStart: async ({ autoRecover }) => (autoRecover === true ? await this.watchdog.ensure() : undefined),
    });
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
    const snapshots = new SnapshotRemoval({
      remove: (uuid) => hypervisor.removeSnapshot(uuid),
      confirm: (uuid) => client.snapshotsRemoved({ session, snapshots: [uuid] }),
      logger,
    });
    const sampling = { session, read: () => hypervisor.counters(), send: (batch: SampleBatch) => client.sendSamples(batch), logger };
    const sampler = metricsSeconds === undefined ? undefined : new Sampler({ ...sampling, everySeconds: metricsSeconds });
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
      inventory: async () => {
        const sequence = reporter.lastSequence;
        const [domains, foreign] = await Promise.all([hypervisor.inventory(), hypervisor.foreignDomains()]);
        return { domains, foreign, sequence };
      },
      snapshots: () => hypervisor.snapshots(),
      send: async (beat, signal) => {
        const sentAt = this.lease.now();
        const answer = await client.heartbeat(beat, signal);
        const { consoleLogs = [], consoles = [], removeVolumes = [], prepareVolumes = [], removeSnapshots = [], fetchImages = [] } = answer;
        if (!this.lease.renew(sentAt)) return this.checkLease();
        reader.asked(consoleLogs);
        tunnels.asked(consoles);
        chores.askedToRemove(removeVolumes);
        chores.askedToPrepare(prepareVolumes);
        snapshots.asked(removeSnapshots);
        images.asked(fetchImages);
      },
    });
    return { reporter, runner, heartbeat, images, tunnels, sampler };
  }

  private evict(reason: Error): void {
    if (this.evicted || this.stopping.signal.aborted) return;
    this.evicted = true;
    this.session?.runner.halt();
    this.session?.reporter.stop(reason);
    this.session?.images.stop();
    void this.session?.tunnels.close();
    void this.session?.sampler?.stop();
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
