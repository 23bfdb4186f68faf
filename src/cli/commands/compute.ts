import { Logger as NestStaticLogger } from '@nestjs/common';
import { hostname } from 'node:os';
import { startComputeWorker } from '../../compute/compute.module.js';
import { ConfigError, loadConfig } from '../../config/load.js';
import { RabbitMqTaskConsumer } from '../../messaging/rabbitmq/task-consumer.js';
import { NestLogger, standardErrorLogger } from '../logging.js';
import { Shutdown } from '../shutdown.js';
import type { Run } from './command.js';
import { armCrashPoint } from '../../crash-points.js';

export const run: Run = async ({ flags, environment }) => {
  const config = loadConfig(['compute'], flags, environment);
  if (config.amqpUrl === undefined)
    throw new ConfigError(['AMQP_URL is missing: a worker of its own takes its tasks from RabbitMQ.']);
  armCrashPoint(config.crashAt);
  const logger = standardErrorLogger(config.logLevel);
  NestStaticLogger.overrideLogger(new NestLogger(logger));
  const shutdown = new Shutdown((message) => logger.error(message));
  try {
    const consumer = new RabbitMqTaskConsumer(config.amqpUrl, logger);
    await shutdown.afterwards('the task bus', () => consumer.close());
    const nodeName = config.nodeName ?? hostname().split('.')[0]!;
    const worker = await startComputeWorker(config, { consumer, conductorUrl: config.conductorUrl, nodeName, logger });
    await shutdown.afterwards('the compute worker', () => worker.stop());
  } catch (error) {
    if (shutdown.underWay) return;
    await shutdown.stopAll();
    throw error;
  }
};
