/**
 * The compute role: a Nest application without HTTP, ORM or database. Each worker is an application context of its
 * own, so that one process can hold several nodes which share nothing but the task bus.
 */
import { Module, type DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Config } from '../config/settings.js';
import { ConductorClient } from './uplink/conductor-client.js';
import { chooseHypervisor } from './hypervisor/choose-hypervisor.js';
import type { Hypervisor } from './hypervisor/hypervisor.js';
import { MetadataProxy } from './metadata-proxy.js';
import { ComputeWorker, type ComputeWorkerOptions } from './worker.js';

const HYPERVISOR = Symbol('hypervisor');

@Module({})
export class ComputeModule {
  static of(config: Config, options: ComputeWorkerOptions): DynamicModule {
    const logger = options.logger.child({ node: options.nodeName });
    return {
      module: ComputeModule,
      providers: [
        { provide: ConductorClient, useFactory: () => new ConductorClient(options.conductorUrl) },
        {
          provide: HYPERVISOR,
          inject: [ConductorClient],
          useFactory: (client: ConductorClient) =>
            options.hypervisor ?? chooseHypervisor(config, options.nodeName, client, logger),
        },
        {
          provide: MetadataProxy,
          inject: [ConductorClient, HYPERVISOR],
          useFactory: (client: ConductorClient, hypervisor: Hypervisor) => new MetadataProxy(client, hypervisor, logger),
        },
        {
          provide: ComputeWorker,
          inject: [HYPERVISOR, ConductorClient, MetadataProxy],
          useFactory: (hypervisor: Hypervisor, client: ConductorClient, metadata: MetadataProxy) =>
            new ComputeWorker(config, options, logger, hypervisor, client, metadata),
        },
      ],
    };
  }
}

/**
 * Resolves when the node is registered and takes tasks; a conductor or broker that cannot be reached is waited for.
 * @throws with what to do about it when the node is not let in or its host cannot be prepared.
 */
export async function startComputeWorker(config: Config, options: ComputeWorkerOptions): Promise<{ stop(): Promise<void> }> {
  // No `logger` here: Nest would set it for the whole process, which may be a conductor's too.
  const context = await NestFactory.createApplicationContext(ComputeModule.of(config, options), { abortOnError: false });
  return { stop: () => context.close() };
}
