/** A compute node of a test's cloud: a worker with a simulated hypervisor, which may be stopped and started again. */
import type { Logger } from 'pino';
import { startComputeWorker } from '../../src/compute/compute.module.js';
import { SimulatedHypervisor } from '../../src/compute/hypervisor/simulated/simulated-hypervisor.js';
import type { Misbehaviours } from '../../src/compute/hypervisor/simulated/misbehaviour.js';
import { loadConfig } from '../../src/config/load.js';
import type { EmbeddedTaskBus } from '../../src/messaging/embedded/embedded-task-bus.js';
import type { NodeCapacity } from '../../src/protocol/node.js';

export interface CloudNodeOptions {
  readonly name: string;
  readonly bus: EmbeddedTaskBus;
  readonly logger: Logger;
  readonly conductorUrl: string;
  readonly stateFolder: string;
  readonly joinToken: string | undefined;
  readonly bootMs: number;
  readonly capacity: NodeCapacity;
  readonly misbehaviours?: Misbehaviours;
}

/** In one process with its worker, it could be frozen with it only: there are tests with processes for that. */
const NO_WATCHDOG = { ensure: async () => undefined, resume: async () => undefined, leave: () => undefined };

export class CloudNode {
  /** Why the conductor sent the worker away, once it did. */
  eviction: Error | undefined;
  private current: { readonly hypervisor: SimulatedHypervisor; readonly stop: () => Promise<void> } | undefined;

  constructor(private readonly options: CloudNodeOptions) {}

  get name(): string {
    return this.options.name;
  }

  get stateFolder(): string {
    return this.options.stateFolder;
  }

  get hypervisor(): SimulatedHypervisor {
    if (this.current === undefined) throw new Error(`Node ${this.name} is not running.`);
    return this.current.hypervisor;
  }

  /** @param misbehaviours of the hypervisor from the very first call on. */
  async start(misbehaviours: Misbehaviours = {}): Promise<void> {
    const { name, bus, logger, conductorUrl, stateFolder, joinToken, bootMs, capacity } = this.options;
    const hypervisor = new SimulatedHypervisor({
      journalPath: `${stateFolder}/simulated-domains.jsonl`,
      capacity,
      bootMs,
      misbehaviours,
      // Where the suites' own servers are.
      egressAllow: ['127.0.0.0/8'],
    });
    const config = loadConfig(['compute'], {}, { BATON_STATE_FOLDER: stateFolder, BATON_HYPERVISOR: 'simulated' });
    const consumer = bus.consumer();
    const worker = await startComputeWorker(config, {
      consumer,
      conductorUrl,
      nodeName: name,
      logger,
      hypervisor,
      watchdog: NO_WATCHDOG,
      ...(joinToken !== undefined && { joinToken }),
      onEvicted: (reason) => void (this.eviction = reason),
    }).catch(async (error: unknown) => {
      await consumer.close();
      throw error;
    });
    this.current = {
      hypervisor,
      stop: async () => {
        await worker.stop();
        await consumer.close();
      },
    };
  }

  async stop(): Promise<void> {
    const { current } = this;
    this.current = undefined;
    await current?.stop();
  }
}
