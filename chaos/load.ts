/**
 * The steady load: clients that create VMs with an Idempotency-Key, act on them and delete them, and retry whatever
 * got no answer. What was acknowledged is remembered, to be held against the database at the end.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { TEST_SEED, TEST_VM, type ConductorProcess } from '../test/support/baton-processes.js';
import type { ChaosCluster } from './cluster.js';
import type { Random } from './random.js';

const CLIENTS = 6;
const PAUSE_MS = 150;
const TIME_LIMIT_MS = 8_000;
/** Its VMs are started elsewhere when their node is lost. */
export const RECOVERED_FLAVOR = 'small-1';

/** With disks that only grow, most resizes of a run are refused in the end, which is a case as well. */
const FLAVORS = ['tiny-1', RECOVERED_FLAVOR, 'medium-1'];

export interface Acknowledged {
  /** By VM id: the name it was created with. */
  readonly created: Map<number, string>;
  readonly deleted: Set<number>;
  readonly operations: Record<string, number>;
  /** Answers that are defects whatever happens around: 500, or not in the envelope. */
  readonly badAnswers: string[];
  /** What was still asked for when patience ended. */
  readonly unanswered: string[];
}

export class Load {
  readonly acknowledged: Acknowledged = { created: new Map(), deleted: new Set(), operations: {}, badAnswers: [], unanswered: [] };
  private stopping = false;
  private readonly impatient = new AbortController();
  private readonly clients: Promise<void>[];

  constructor(
    private readonly cluster: ChaosCluster,
    private readonly random: Random,
  ) {
    this.clients = Array.from({ length: CLIENTS }, () => this.client());
  }

  /** No new operations; those under way may go on asking for so long. */
  async stop(patienceMs: number): Promise<void> {
    this.stopping = true;
    const impatience = setTimeout(() => this.impatient.abort(), patienceMs);
    await Promise.all(this.clients);
    clearTimeout(impatience);
  }

  private async client(): Promise<void> {
    const mine: number[] = [];
    while (!this.stopping) {
      const dice = this.random.next();
      if (mine.length < 3 || (dice < 0.35 && mine.length < 12)) mine.push(...(await this.create()));
      else if (dice < 0.6) await this.delete(mine.splice(this.random.below(mine.length), 1)[0]!);
      else await this.act(this.random.pick(mine));
      await sleep(PAUSE_MS);
    }
  }

  /** Until it is answered: the same key all the time, so that it is done once. */
  private async create(): Promise<number[]> {
    const key = randomUUID();
    const count = 1 + this.random.below(3);
    const flavor_name = this.random.pick([TEST_VM.flavor_name, RECOVERED_FLAVOR]);
    const body = { ...TEST_VM, flavor_name, count, name: `vm-${key.slice(0, 13)}`, assign_floating_ip: this.random.next() < 0.1 };
    while (!this.impatient.signal.aborted) {
      const answer = await this.send('POST', '', body, { 'idempotency-key': key });
      if (answer?.status === 200) {
        const instances = answer.body.instances as { id: number; name: string }[];
        for (const vm of instances) this.acknowledged.created.set(vm.id, vm.name);
        this.count('create', instances.length);
        return instances.map((vm) => vm.id);
      }
      // No room, or no floating IP left: nothing was made, which the end of the run verifies.
      if (answer?.status === 409) return [];
      await sleep(200);
    }
    this.acknowledged.unanswered.push(`create ${body.name}`);
    return [];
  }

  private async delete(id: number): Promise<void> {
    while (!this.impatient.signal.aborted) {
      const answer = await this.send('DELETE', `/${id}`);
      if (answer?.status === 200 || answer?.status === 404) {
        this.acknowledged.deleted.add(id);
        return this.count('delete');
      }
      // 400: it is still being made.
      await sleep(300);
    }
    this.acknowledged.unanswered.push(`delete ${id}`);
  }

  private async act(id: number): Promise<void> {
    const action = this.random.pick(['stop', 'start', 'hard-reboot', 'resize']);
    const answer =
      action === 'resize'
        ? await this.send('POST', `/${id}/resize`, { flavor_name: this.random.pick(FLAVORS) })
        : await this.send('GET', `/${id}/${action}`);
    if (answer?.status === 200) this.count(action);
  }

  private async send(method: string, path: string, body?: object, headers: Record<string, string> = {}) {
    const conductor = this.random.pick(this.cluster.conductors);
    try {
      const answer = await fetch(`${conductor.url}/v1/core/virtual-machines${path}`, {
        method,
        headers: { api_key: TEST_SEED.apiKey, ...(body && { 'content-type': 'application/json' }), ...headers },
        body: body && JSON.stringify(body),
        signal: AbortSignal.timeout(TIME_LIMIT_MS),
      });
      const json = (await answer.json()) as Record<string, unknown>;
      if (answer.status >= 500 && answer.status !== 503)
        this.acknowledged.badAnswers.push(`${method} ${path}: ${answer.status} ${String(json.message)} ${logLineOf(conductor, path)}`);
      return { status: answer.status, body: json };
    } catch {
      // Killed, frozen or restarting: whether it was done is not known, so it is asked again.
      return undefined;
    }
  }

  private count(operation: string, times = 1): void {
    this.acknowledged.operations[operation] = (this.acknowledged.operations[operation] ?? 0) + times;
  }
}

/** Looked for at once: a conductor that is killed takes its last words with it. */
function logLineOf({ process }: ConductorProcess, path: string): string | undefined {
  return process.lastOutput.split('\n').findLast((line) => line.includes(`virtual-machines${path} `));
}
