/** The cloud's compute nodes, all in this process: `node-1` … `node-N`, each with a state folder and metadata port of its own. */
import { join } from 'node:path';
import { pino, type Logger } from 'pino';
import { startComputeWorker } from '../compute/compute.module.js';
import { chooseHypervisor } from '../compute/hypervisor/choose-hypervisor.js';
import type { Config } from '../config/settings.js';
import type { TaskConsumer } from '../messaging/task-bus.js';
import type { IncarnationId } from '../protocol/ids.js';

export const MOST_NODES = 16;

const nodeName = (index: number): string => `node-${index + 1}`;

export function nodeConfig(config: Config, index: number, dataFolder: string): Config {
  return {
    ...config,
    nodeName: nodeName(index),
    metadataPort: config.metadataPort + index,
    stateFolder: join(dataFolder, 'nodes', nodeName(index)),
  };
}

export interface NodeStart {
  readonly conductorUrl: string;
  readonly consumer: TaskConsumer;
  readonly logger: Logger;
}

export async function startNode(config: Config, start: NodeStart): Promise<{ stop(): Promise<void> }> {
  return await startComputeWorker(config, { ...start, nodeName: config.nodeName! });
}

/** Removes every virtual machine of a node from the host, without a conductor. @returns how many there were. */
export async function destroyGuests(config: Config): Promise<number> {
  const nowhere = { url: config.conductorUrl, authorization: () => ({}) };
  const hypervisor = await chooseHypervisor(config, config.nodeName!, nowhere, pino({ level: 'silent' }));
  await hypervisor.open();
  try {
    const guests = await hypervisor.inventory();
    for (const { vmUuid, incarnationId } of guests)
      await hypervisor.remove({ vmUuid, incarnationId: incarnationId as IncarnationId });
    return guests.length;
  } finally {
    await hypervisor.close();
  }
}
