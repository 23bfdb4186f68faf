/**
 * A worker of a version of the protocol as it was when that version was pinned: it sends what was recorded then
 * (test/fixtures/protocol/), with only ids and counters put in, and knows of a task what its version had. It shares no
 * code with today's worker, which may have changed.
 */
import { readFileSync } from 'node:fs';
import type { Subscription, TaskConsumer } from '../../src/messaging/task-bus.js';
import { JOIN_TOKEN, type Answer, type Cloud, type Json } from './cloud.js';

export const recorded = (version: number): Json =>
  JSON.parse(readFileSync(new URL(`../fixtures/protocol/version-${version}.json`, import.meta.url), 'utf8'));

const REPORTS_OF: Readonly<Record<string, readonly string[]>> = {
  running: ['building', 'running'],
  stopped: ['stopped'],
  absent: ['absent'],
};

const SESSION_UNIT = 2 ** 32;

export class PinnedWorker {
  /** Names of the fields that every task of the version has, and that were missing in one that came. */
  readonly missing = new Set<string>();
  private readonly version: Json;
  private readonly consumer: TaskConsumer;
  private subscription: Subscription | undefined;
  private session = 0;
  private counter = 0;
  private key = '';
  private beats: NodeJS.Timeout | undefined;

  constructor(
    private readonly cloud: Cloud,
    version: number,
  ) {
    this.version = recorded(version);
    this.consumer = cloud.bus.consumer();
  }

  register(name: string): Promise<Answer> {
    return this.cloud.request('POST', '/compute/register', { ...this.version.register, name }, { authorization: `Bearer ${JOIN_TOKEN}` });
  }

  async start(name: string): Promise<void> {
    const { body } = await this.register(name);
    for (const field of ['nodeKey', 'session', 'queue', 'heartbeatSeconds', 'leaseSeconds'])
      if (!(field in body)) throw new Error(`The answer to its registration has no ${field}: ${JSON.stringify(body)}`);
    ({ session: this.session, nodeKey: this.key } = body);
    await this.beat();
    this.beats = setInterval(() => void this.beat().catch(() => undefined), body.heartbeatSeconds * 1000);
    this.subscription = await this.consumer.consume(body.queue, 4, ({ task, ack, retry }) => {
      void this.carryOut(JSON.parse(JSON.stringify(task))).then(ack, retry);
    });
  }

  async stop(): Promise<void> {
    clearInterval(this.beats);
    await this.subscription?.cancel();
    await this.consumer.close();
  }

  private async carryOut(task: Json): Promise<void> {
    const known = this.version.tasks.create;
    for (const field of Object.keys(known)) if (!(field in task)) this.missing.add(field);
    for (const field of Object.keys(known.spec)) if (!(field in task.spec) && field !== 'floatingIp') this.missing.add(`spec.${field}`);
    if (task.version !== this.version.version) throw new Error(`A task of version ${task.version} came.`);
    for (const observed of REPORTS_OF[task.spec.power] ?? []) {
      const { taskId, incarnationId, generation } = task;
      const sequence = this.session * SESSION_UNIT + ++this.counter;
      const report = { ...this.version.reports[observed], taskId, incarnationId, generation, sequence };
      const answer = await this.send('reports', { session: this.session, reports: [report] });
      if (answer.body.verdicts[0] !== 'accepted') return;
    }
  }

  private async beat(): Promise<void> {
    await this.send('heartbeat', { ...this.version.heartbeat, session: this.session, inventory: [], snapshots: [] });
  }

  private async send(path: string, body: object): Promise<Answer> {
    const answer = await this.cloud.request('POST', `/compute/${path}`, body, { authorization: `Bearer ${this.key}` });
    if (answer.status >= 400) throw new Error(`${path}: ${answer.status} ${answer.text}`);
    return answer;
  }
}
