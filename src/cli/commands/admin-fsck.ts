import { checkBroker } from '../../conductor/admin/broker-findings.js';
import { fsck, type Finding } from '../../conductor/admin/fsck.js';
import { inspectBroker } from '../../messaging/rabbitmq/inspection.js';
import type { Run } from './command.js';
import { print, withDatabase } from './database.js';

const EMBEDDED = 'Broker: none, the task bus is embedded (AMQP_URL is not set).';

export const run: Run = async (invocation) => {
  const repair = invocation.flags['repair'] === true;
  const findings = await withDatabase(invocation, async (dataSource, { amqpUrl }): Promise<Finding[]> => {
    const ofDatabase = await fsck(dataSource, { repair });
    if (amqpUrl === undefined) return print(EMBEDDED), ofDatabase;
    const broker = await checkBroker(dataSource, (nodes, options) => inspectBroker(amqpUrl, nodes, options), { repair });
    print(broker.summary);
    return [...ofDatabase, ...broker.findings];
  });
  for (const { invariant, subject, detail, advice, repaired } of findings)
    print(`${invariant}: ${subject} ${detail}\n  ${repaired ? 'Repaired.' : advice}`);
  if (findings.length === 0) print('Every invariant holds.');
  return findings.length === 0 ? 0 : 1;
};
