import { ConfigError, loadConfig } from '../../config/load.js';
import { startConductor } from '../../conductor/conductor.js';
import { RabbitMqTaskPublisher } from '../../messaging/rabbitmq/task-publisher.js';
import { armCrashPoint } from '../../crash-points.js';
import { NestLogger, standardErrorLogger } from '../logging.js';
import { Shutdown } from '../shutdown.js';
import type { Run } from './command.js';

export const run: Run = async ({ flags, environment }) => {
  const config = loadConfig(['conductor'], flags, environment);
  if (config.amqpUrl === undefined)
    throw new ConfigError(['AMQP_URL is missing: a conductor of its own needs RabbitMQ. bin/up works without one.']);
  armCrashPoint(config.crashAt);
  const logger = standardErrorLogger(config.logLevel);
  const shutdown = new Shutdown((message) => logger.error(message));
  try {
    const publisher = new RabbitMqTaskPublisher(config.amqpUrl, logger);
    await shutdown.afterwards('the task bus', () => publisher.close());
    const conductor = await startConductor(config, { publisher, logger: new NestLogger(logger) });
    await shutdown.afterwards('the conductor', () => conductor.stop());
    logger.info({ url: conductor.url }, 'the conductor serves requests');
  } catch (error) {
    await shutdown.stopAll();
    throw error;
  }
};
