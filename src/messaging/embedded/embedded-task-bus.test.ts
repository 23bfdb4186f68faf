import { pino } from 'pino';
import { describeTaskBus } from '../task-bus.contract.js';
import { EmbeddedTaskBus } from './embedded-task-bus.js';

describeTaskBus('embedded', async () => {
  const bus = new EmbeddedTaskBus(pino({ level: 'silent' }));
  return { publisher: bus, consumer: () => bus.consumer(), close: () => bus.close() };
});
