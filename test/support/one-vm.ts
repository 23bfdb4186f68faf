/**
 * One VM between a conductor of pure functions (`foldReport`) and a worker on a simulated hypervisor, all in this process,
 * so that what goes wrong can be put at any single call that a step of the worker makes, and a thousand such lives take
 * seconds.
 *
 * A worker that dies is one whose calls never answer again: the next has what the hypervisor's journal kept, and nothing
 * else. The bus hands out again what was not acknowledged, as RabbitMQ does.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { HypervisorError, type DomainIdentity, type Hypervisor } from '../../src/compute/hypervisor/hypervisor.js';
import type { SimulatedDomain } from '../../src/compute/hypervisor/simulated/journal.js';
import { SimulatedHypervisor } from '../../src/compute/hypervisor/simulated/simulated-hypervisor.js';
import type { TaskRunner } from '../../src/compute/tasks/task-runner.js';
import type { ReportDraft } from '../../src/compute/uplink/reporter.js';
import { foldReport, type ReportedVm } from '../../src/conductor/tasks/report-folding.js';
import { deriveStatus, type Operation } from '../../src/conductor/virtual-machines/vm-status.js';
import type { Delivery } from '../../src/messaging/task-bus.js';
import { exampleTask } from '../../src/messaging/task-bus.contract.js';
import type { TaskId } from '../../src/protocol/ids.js';
import type { ReportVerdict } from '../../src/protocol/report.js';
import type { ConvergeTask, VmSpec } from '../../src/protocol/task.js';

/** What can happen at one call. `refused`: for good; `busy`: just now; `broken`: what the port does not promise. */
export type Mishap =
  | `${'refused' | 'busy' | 'broken' | 'crash'} ${'before' | 'after'}`
  | 'session over'
  | 'delivered twice'
  | 'ended elsewhere'
  | `overtaken by ${VmSpec['power']}`;

/** A call that a step makes: of the hypervisor, to report, or to make sure of the watchdog. */
export interface Call {
  readonly step: string;
  readonly name: string;
}

type Wish = Partial<VmSpec>;

const OPERATIONS: Readonly<Record<VmSpec['power'], Operation>> = { running: 'start', stopped: 'stop', hibernated: 'hibernate', absent: 'delete' };

/** How often the domain changed in a way that its owner feels. */
export interface Effects {
  powerOns: number;
  powerOffs: number;
  resets: number;
  copies: number;
  removals: number;
}

export interface OneVmOptions {
  readonly folder: string;
  readonly makeRunner: (ports: { hypervisor: Hypervisor; report: (draft: ReportDraft) => Promise<ReportVerdict>; beforeStart: () => Promise<void> }) => TaskRunner;
  /** The step that was last begun. */
  readonly stepUnderWay: () => string;
}

/** Of one worker process. */
interface WorkerLife {
  readonly runner: TaskRunner;
  readonly hypervisor: SimulatedHypervisor;
  dead: boolean;
  readonly died: Promise<void>;
  die(): void;
}

export class OneVm {
  readonly identity: DomainIdentity;
  readonly calls: Call[] = [];
  readonly effects: Effects = { powerOns: 0, powerOffs: 0, resets: 0, copies: 0, removals: 0 };
  snapshotsTaken = 0;
  /** What a report said and was not so. */
  readonly lies: string[] = [];
  readonly reports: ReportDraft[] = [];
  wanted: ConvergeTask;
  vm: ReportedVm;
  private worker!: WorkerLife;
  private readonly unsettled = new Map<ConvergeTask, { redelivered: boolean }>();
  private mishaps = new Map<number, Mishap>();
  private sequence = 0;

  private constructor(private readonly options: OneVmOptions) {
    const task = exampleTask(0);
    this.identity = { vmUuid: task.vmUuid, incarnationId: task.incarnationId };
    this.wanted = task;
    this.vm = {
      desiredPower: 'running', operation: 'create', generation: 0, observed: 'nothing', observedGeneration: 0, status: 'CREATING',
      fault: null, hasRun: false, metadataTokenHash: null, lastSequence: 0, attempt: 1, hasVolumes: false, failure: null,
      ended: false, concluded: undefined,
    };
  }

  static async begin(options: OneVmOptions): Promise<OneVm> {
    const one = new OneVm(options);
    await one.startWorker();
    return one;
  }

  get hypervisor(): SimulatedHypervisor {
    return this.worker.hypervisor;
  }

  get domain(): SimulatedDomain | undefined {
    return this.hypervisor.domain(this.identity);
  }

  /** As the API does it: a new generation, of which the whole is sent. */
  wish(change: Wish): void {
    const { spec, generation } = this.wanted;
    const wanted = { ...spec, ...change };
    const { hasRun, observedGeneration } = this.vm;
    this.wanted = {
      ...this.wanted,
      taskId: randomUUID() as TaskId,
      generation: generation + 1,
      // As the relay says it of an incarnation that has ended.
      spec: { ...wanted, ...(this.vm.ended && { power: 'absent' as const }), hasDisk: hasRun && !this.vm.ended ? true : undefined },
    };
    const desired = {
      desiredPower: wanted.power,
      operation: observedGeneration === 0 ? ('create' as const) : OPERATIONS[wanted.power],
      generation: generation + 1,
      hasVolumes: wanted.volumes !== undefined || wanted.rootVolume !== undefined,
    };
    this.vm = { ...this.vm, ...desired, status: deriveStatus({ ...this.vm, ...desired }) };
    this.unsettled.set(this.wanted, { redelivered: false });
  }

  forgetEffects(): void {
    for (const name of Object.keys(this.effects) as (keyof Effects)[]) this.effects[name] = 0;
  }

  /** Its node is taken for lost, or another was found: this life of the VM is over. */
  endElsewhere(): void {
    this.vm = { ...this.vm, ended: true };
  }

  /** Carries out what was wished for, with these mishaps at the calls of these numbers, until nothing is in hand. */
  async settle(mishaps: ReadonlyMap<number, Mishap> = new Map()): Promise<void> {
    this.calls.length = 0;
    this.mishaps = new Map(mishaps);
    for (let rounds = 0; this.unsettled.size > 0; rounds++) {
      if (rounds > 20) throw new Error('The task is delivered again and again.');
      if (this.worker.dead) await this.startWorker();
      const { worker } = this;
      for (const task of [...this.unsettled.keys()]) this.deliver(task);
      await Promise.race([worker.runner.drained(), worker.died]);
    }
  }

  async close(): Promise<void> {
    await this.hypervisor.close();
  }

  private async startWorker(): Promise<void> {
    await this.worker?.hypervisor.close();
    const { folder, makeRunner } = this.options;
    const hypervisor = new SimulatedHypervisor({
      journalPath: join(folder, `${this.identity.vmUuid}.jsonl`),
      capacity: { cpus: 4, memoryMib: 4096, diskGib: 100, gpus: [] },
    });
    await hypervisor.open();
    let die: () => void;
    const died = new Promise<void>((resolve) => (die = resolve));
    const life: WorkerLife = {
      hypervisor,
      dead: false,
      died,
      die: () => {
        life.dead = true;
        die();
      },
      runner: makeRunner({
        hypervisor: new Proxy(hypervisor, {
          get: (target, name: keyof Hypervisor) => {
            const member = target[name] as unknown;
            if (typeof member !== 'function') return member;
            return (...args: unknown[]) => this.call(life, name, () => this.watched(target, () => (member as (...args: unknown[]) => Promise<unknown>).apply(target, args)));
          },
        }),
        report: (draft) => this.call(life, 'report', () => Promise.resolve(this.fold(draft))) as Promise<ReportVerdict>,
        beforeStart: () => this.call(life, 'beforeStart', async () => undefined) as Promise<void>,
      }),
    };
    this.worker = life;
  }

  private deliver(task: ConvergeTask): void {
    const { redelivered } = this.unsettled.get(task)!;
    this.unsettled.set(task, { redelivered: true });
    const delivery: Delivery = {
      task,
      redelivered,
      ack: () => void this.unsettled.delete(task),
      retry: () => undefined,
      reject: () => {
        throw new Error('The worker rejected a task that it understands.');
      },
    };
    this.worker.runner.onDelivery(delivery);
  }

  private async call(life: WorkerLife, name: string, effect: () => Promise<unknown>): Promise<unknown> {
    if (life.dead) return await never;
    const planned = this.mishaps.get(this.calls.length);
    const mishap = planned !== undefined && mayHappen(planned, name) ? planned : undefined;
    this.calls.push({ step: this.options.stepUnderWay(), name });
    const [kind, when] = (mishap ?? '').split(' ') as [string, string | undefined];
    if (mishap === undefined) return await alive(life, effect);
    if (mishap === 'delivered twice') this.deliver([...this.unsettled.keys()].at(-1)!);
    else if (mishap === 'ended elsewhere') this.endElsewhere();
    else if (kind === 'overtaken') {
      this.wish({ power: mishap.slice('overtaken by '.length) as VmSpec['power'] });
      this.deliver(this.wanted);
    } else {
      if (when === 'after') await alive(life, effect);
      return await this.fail(life, kind, name);
    }
    return await alive(life, effect);
  }

  private async fail(life: WorkerLife, kind: string, name: string): Promise<never> {
    switch (kind) {
      case 'refused':
      case 'busy':
        throw new HypervisorError(`The test has it that ${name} is ${kind}.`, kind === 'busy');
      case 'session':
        life.runner.halt();
        life.die();
        throw new Error('the session is over');
      case 'crash':
        life.die();
        return await never;
      default:
        throw new TypeError(`the test has broken ${name}`);
    }
  }

  /** What a call changed for the VM's owner. */
  private async watched(hypervisor: SimulatedHypervisor, effect: () => Promise<unknown>): Promise<unknown> {
    const before = hypervisor.domain(this.identity);
    const copies = (await hypervisor.snapshots()).length;
    try {
      return await effect();
    } finally {
      const after = hypervisor.domain(this.identity);
      const { effects } = this;
      if (before?.state !== 'running' && after?.state === 'running') effects.powerOns++;
      if (before?.state === 'running' && after?.state !== 'running') effects.powerOffs++;
      if (before && !after) effects.removals++;
      if (before?.state === 'running' && after && after.resets > before.resets) effects.resets++;
      const taken = (await hypervisor.snapshots()).length - copies;
      effects.copies += taken;
      this.snapshotsTaken += taken;
    }
  }

  private fold(draft: ReportDraft): ReportVerdict {
    this.reports.push(draft);
    this.hold(draft);
    const { verdict, vm } = foldReport(this.vm, { ...draft, sequence: ++this.sequence });
    // Another node is found at once.
    this.vm = vm.observed === 'undone' ? { ...vm, ended: true } : vm;
    return verdict;
  }

  /** What is told must be so at that moment. */
  private hold({ observed, volumes, snapshot, reason }: ReportDraft): void {
    const { domain } = this;
    const states: readonly string[] = ['running', 'stopped', 'hibernated'];
    if (states.includes(observed) && domain?.state !== observed) this.lies.push(`told ${observed}, it is ${domain?.state}`);
    if (observed === 'absent' && domain) this.lies.push(`told absent, it is ${domain.state}`);
    if (observed === 'failed' && !reason) this.lies.push('told a failure without a reason');
    if (volumes && String(volumes) !== String(domain?.volumes ?? [])) this.lies.push(`told volumes ${volumes.join()}, it has ${domain?.volumes?.join()}`);
    if (snapshot && 'sizeBytes' in snapshot && this.snapshotsTaken === 0) this.lies.push('told of a snapshot that was never taken');
  }
}

/** Only the port of the hypervisor says why it cannot. */
export const mayHappen = (mishap: Mishap, name: string): boolean => !/^(refused|busy)/.test(mishap) || !['report', 'beforeStart'].includes(name);

const never = new Promise<never>(() => undefined);

/** The answer to a process that died meanwhile reaches nobody. */
async function alive(life: WorkerLife, effect: () => Promise<unknown>): Promise<unknown> {
  try {
    const answer = await effect();
    return life.dead ? await never : answer;
  } catch (error) {
    return life.dead ? await never : await Promise.reject(error as Error);
  }
}
