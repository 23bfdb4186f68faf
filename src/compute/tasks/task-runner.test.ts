import { createHash, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { Delivery } from '../../messaging/task-bus.js';
import { exampleTask } from '../../messaging/task-bus.contract.js';
import type { IncarnationId, TaskId } from '../../protocol/ids.js';
import type { ReportVerdict } from '../../protocol/report.js';
import type { ConvergeTask, DesiredPower } from '../../protocol/task.js';
import type { ReportDraft } from '../uplink/reporter.js';
import { SimulatedHypervisor } from '../hypervisor/simulated/simulated-hypervisor.js';
import { TaskRunner } from './task-runner.js';

type Settlement = 'acknowledged' | 'delivered again' | 'rejected';

/** Takes every report, and answers as the test has it. */
class ReportSink {
  readonly reports: ReportDraft[] = [];
  verdict: (draft: ReportDraft) => ReportVerdict | Promise<ReportVerdict> = () => 'accepted';

  readonly take = async (draft: ReportDraft): Promise<ReportVerdict> => {
    this.reports.push(draft);
    return await this.verdict(draft);
  };

  get observed(): string[] {
    return this.reports.map(({ observed }) => observed);
  }
}

describe('a compute worker at its tasks', () => {
  let folder: string;
  let hypervisor: SimulatedHypervisor;
  let sink: ReportSink;
  let runner: TaskRunner;

  const makeRunner = (): TaskRunner =>
    new TaskRunner({ hypervisor, report: sink.take, logger: pino({ level: 'silent' }) });

  async function openHypervisor(): Promise<void> {
    hypervisor = new SimulatedHypervisor({
      journalPath: join(folder, 'domains.jsonl'),
      capacity: { cpus: 4, memoryMib: 4096, diskGib: 100, gpus: [] },
    });
    await hypervisor.open();
  }

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'baton-tasks-'));
    await openHypervisor();
    sink = new ReportSink();
    runner = makeRunner();
  });

  afterEach(async () => {
    await hypervisor.close();
    await rm(folder, { recursive: true });
  });

  /** As after `kill -9`: nothing is left of the process but what the hypervisor has kept. */
  async function restart(): Promise<void> {
    runner.halt();
    await hypervisor.close();
    await openHypervisor();
    runner = makeRunner();
  }

  function deliver(task: ConvergeTask): Settlement[] {
    const settled: Settlement[] = [];
    const delivery: Delivery = {
      task,
      redelivered: false,
      ack: () => settled.push('acknowledged'),
      retry: () => settled.push('delivered again'),
      reject: () => settled.push('rejected'),
    };
    runner.onDelivery(delivery);
    return settled;
  }

  async function carryOut(task: ConvergeTask): Promise<Settlement[]> {
    const settled = deliver(task);
    await runner.drained();
    return settled;
  }

  const next = (task: ConvergeTask, power: DesiredPower): ConvergeTask => ({
    ...task,
    taskId: randomUUID() as TaskId,
    generation: task.generation + 1,
    spec: { ...task.spec, power },
  });

  it('makes a VM run, tells of it with its address, and then acknowledges', async () => {
    const task = exampleTask();
    expect(await carryOut(task)).toEqual(['acknowledged']);
    expect(sink.observed).toEqual(['building', 'running']);
    expect(sink.reports[1]).toMatchObject({ incarnationId: 9, taskId: task.taskId, generation: 1, observed: 'running' });
    expect(await hypervisor.state(task)).toBe('running');
  });

  it('tells the hash of the metadata token that the guest gets, and never the token', async () => {
    const tokens: string[] = [];
    const define = hypervisor.define.bind(hypervisor);
    hypervisor.define = (identity, spec, token) => {
      tokens.push(token);
      return define(identity, spec, token);
    };
    await carryOut(exampleTask());
    expect(Buffer.from(tokens[0]!, 'base64url')).toHaveLength(24);
    expect(sink.reports[0]!.metadataTokenHash).toBe(createHash('sha256').update(tokens[0]!).digest('hex'));
    expect(JSON.stringify(sink.reports)).not.toContain(tokens[0]);
  });

  it('does not start the guest before the conductor has taken the report on its building', async () => {
    const task = exampleTask();
    const stateAtReport: unknown[] = [];
    sink.verdict = async (): Promise<ReportVerdict> => {
      await new Promise(setImmediate);
      stateAtReport.push(await hypervisor.state(task));
      return 'accepted';
    };
    await carryOut(task);
    expect(stateAtReport[0]).not.toBe('running');
    expect(stateAtReport[1]).toBe('running');
  });

  it('does not acknowledge before the outcome is taken', async () => {
    let answer: (verdict: ReportVerdict) => void = () => undefined;
    const asked = new Promise<void>((wake) => {
      sink.verdict = ({ observed }) => {
        if (observed !== 'running') return 'accepted';
        wake();
        return new Promise((resolve) => (answer = resolve));
      };
    });
    const settled = deliver(exampleTask());
    await asked;
    expect(settled).toEqual([]);
    answer('accepted');
    await runner.drained();
    expect(settled).toEqual(['acknowledged']);
  });

  it('tells address and state again when the same task comes twice, and leaves the guest running', async () => {
    const task = exampleTask();
    await carryOut(task);
    expect(await carryOut(task)).toEqual(['acknowledged']);
    expect(sink.observed).toEqual(['building', 'running', 'running']);
    expect(sink.reports[2]).toMatchObject({ observed: 'running' });
    expect(sink.reports[2]!.metadataTokenHash).toBeUndefined();
  });

  it.each(['define', 'start'] as const)('ends right when it was killed during %s and the task comes again', async (call) => {
    const task = exampleTask();
    const reached = new Promise<void>((wake) => {
      const original = hypervisor[call].bind(hypervisor) as (...args: unknown[]) => Promise<unknown>;
      hypervisor[call] = (async (...args: unknown[]) => {
        await original(...args);
        wake();
        return await new Promise<never>(() => undefined);
      }) as never;
    });
    const settled = deliver(task);
    await reached;
    await restart();

    expect(await carryOut(task)).toEqual(['acknowledged']);
    expect(settled).toEqual([]);
    expect(sink.reports.at(-1)).toMatchObject({ observed: 'running' });
    expect(await hypervisor.inventory()).toHaveLength(1);
  });

  it('does not start a VM whose incarnation has ended, and takes away what it made for it', async () => {
    sink.verdict = () => 'ended';
    expect(await carryOut(exampleTask())).toEqual(['acknowledged']);
    expect(sink.observed).toEqual(['building']);
    expect(await hypervisor.inventory()).toEqual([]);
  });

  it('does not start a VM of which the conductor has newer news, and leaves its disk alone', async () => {
    const task = exampleTask();
    await carryOut(task);
    await carryOut(next(task, 'stopped'));
    sink.verdict = () => 'stale';
    expect(await carryOut(next(next(task, 'stopped'), 'running'))).toEqual(['acknowledged']);
    expect(await hypervisor.state(task)).toBe('stopped');
  });

  it('undoes a first start that failed, and says why', async () => {
    hypervisor.misbehaviours = { start: { kind: 'failing' } };
    expect(await carryOut(exampleTask())).toEqual(['acknowledged']);
    expect(sink.observed).toEqual(['building', 'failed']);
    expect(sink.reports[1]!.reason).toBe('The simulated hypervisor was told to fail to start.');
    expect(await hypervisor.inventory()).toEqual([]);
  });

  it('never removes a VM that has run, though it does not start again', async () => {
    const task = exampleTask();
    await carryOut(task);
    await carryOut(next(task, 'stopped'));
    hypervisor.misbehaviours = { start: { kind: 'failing' } };
    await carryOut(next(next(task, 'stopped'), 'running'));
    expect(sink.observed.at(-1)).toBe('failed');
    expect(await hypervisor.state(task)).toBe('stopped');
  });

  it('never removes the disk of a VM that it has told to be off, though it does not start', async () => {
    const task = exampleTask();
    await carryOut({ ...task, spec: { ...task.spec, power: 'stopped' } });
    hypervisor.misbehaviours = { start: { kind: 'failing' } };
    await carryOut(next(task, 'running'));
    expect(sink.observed).toEqual(['building', 'stopped', 'building', 'failed']);
    expect(await hypervisor.state(task)).toBe('stopped');
  });

  it('takes a domain that it finds after a restart for one with data, and does not undo it', async () => {
    const task = exampleTask();
    await carryOut({ ...task, spec: { ...task.spec, power: 'stopped' } });
    await restart();
    hypervisor.misbehaviours = { start: { kind: 'failing' } };
    await carryOut(next(task, 'running'));
    expect(sink.observed.at(-1)).toBe('failed');
    expect(await hypervisor.state(task)).toBe('stopped');
  });

  it('tries again what the hypervisor refuses just now', async () => {
    hypervisor.misbehaviours = { start: { kind: 'rejecting', times: 2 } };
    await carryOut(exampleTask());
    expect(sink.observed).toEqual(['building', 'running']);
  });

  it('gives up after three refusals', async () => {
    hypervisor.misbehaviours = { start: { kind: 'rejecting', times: 3 } };
    await carryOut(exampleTask());
    expect(sink.observed).toEqual(['building', 'failed']);
  });

  it('has a task delivered again when something fails that nobody foresaw', async () => {
    const task = exampleTask();
    hypervisor.misbehaviours = { start: { kind: 'broken' } };
    expect(await carryOut(task)).toEqual(['delivered again']);
    expect(sink.observed).toEqual(['building']);
    hypervisor.misbehaviours = {};
    expect(await carryOut(task)).toEqual(['acknowledged']);
    expect(sink.observed.at(-1)).toBe('running');
  });

  it('stops a VM, keeps it, and removes it when it shall be absent', async () => {
    const task = exampleTask();
    await carryOut(task);
    await carryOut(next(task, 'stopped'));
    expect(await hypervisor.state(task)).toBe('stopped');
    await carryOut(next(next(task, 'stopped'), 'absent'));
    expect(await hypervisor.inventory()).toEqual([]);
    expect(sink.observed).toEqual(['building', 'running', 'stopped', 'absent']);
  });

  it('makes a VM that shall be stopped from the start', async () => {
    const task = exampleTask();
    await carryOut({ ...task, spec: { ...task.spec, power: 'stopped' } });
    expect(sink.observed).toEqual(['building', 'stopped']);
    expect(await hypervisor.state(task)).toBe('stopped');
  });

  it('tells that a VM is absent of which it has never heard', async () => {
    const task = exampleTask();
    expect(await carryOut({ ...task, spec: { ...task.spec, power: 'absent' } })).toEqual(['acknowledged']);
    expect(sink.observed).toEqual(['absent']);
  });

  it('leaves the present life of a VM alone when a former one shall be absent', async () => {
    const former = exampleTask();
    const present = { ...former, generation: 2, incarnationId: 10 as IncarnationId };
    await carryOut(present);
    await carryOut({ ...former, generation: 3, spec: { ...former.spec, power: 'absent' } });
    expect(await hypervisor.state(present)).toBe('running');
  });

  it('acknowledges without doing it a task that an already converged one has outdated', async () => {
    const task = exampleTask();
    await carryOut(next(task, 'absent'));
    expect(await carryOut(task)).toEqual(['acknowledged']);
    expect(sink.observed).toEqual(['absent']);
    expect(await hypervisor.inventory()).toEqual([]);
  });

  it('skips a waiting task when a newer one waits behind it', async () => {
    const task = exampleTask();
    const stop = next(task, 'stopped');
    const settled = [deliver(task), deliver(stop), deliver(next(stop, 'absent'))];
    await runner.drained();
    expect(settled).toEqual([['acknowledged'], ['acknowledged'], ['acknowledged']]);
    expect(sink.observed).not.toContain('stopped');
    expect(sink.observed.at(-1)).toBe('absent');
  });

  it('works on one VM in order and on others meanwhile', async () => {
    const slow = exampleTask();
    const stop = next(slow, 'stopped');
    const quick = exampleTask();
    let letGo: () => void = () => undefined;
    const start = hypervisor.start.bind(hypervisor);
    const held = new Promise<void>((reached) => {
      hypervisor.start = async (identity) => {
        if (identity.vmUuid === slow.vmUuid) {
          reached();
          await new Promise<void>((resolve) => (letGo = resolve));
        }
        await start(identity);
      };
    });
    const first = deliver(slow);
    await held;
    const second = deliver(stop);
    const told = new Promise<void>((wake) => {
      sink.verdict = ({ taskId, observed }) => {
        if (taskId === quick.taskId && observed === 'running') wake();
        return 'accepted';
      };
    });
    deliver(quick);
    await told;
    expect([first, second]).toEqual([[], []]);
    letGo();
    await runner.drained();
    expect([first, second]).toEqual([['acknowledged'], ['acknowledged']]);
    expect(await hypervisor.state(slow)).toBe('stopped');
  });

  const resized = (task: ConvergeTask): ConvergeTask => {
    const newer = next(task, task.spec.power);
    return { ...newer, spec: { ...newer.spec, vcpus: 2, resizes: 1 } };
  };

  it('hibernates a guest, and lets it go on without defining it anew', async () => {
    const task = exampleTask();
    await carryOut(task);
    const hibernation = next(task, 'hibernated');
    await carryOut(hibernation);
    await carryOut(hibernation);
    expect(await hypervisor.state(task)).toBe('hibernated');
    const tokens: string[] = [];
    const define = hypervisor.define.bind(hypervisor);
    hypervisor.define = async (identity, spec, token) => {
      if ((await hypervisor.state(identity)) !== 'running') tokens.push(token);
      return await define(identity, spec, token);
    };
    await carryOut(next(hibernation, 'running'));
    expect(tokens).toEqual([]);
    expect(sink.observed).toEqual(['building', 'running', 'hibernated', 'hibernated', 'building', 'running']);
    expect(sink.reports[4]!.metadataTokenHash).toBeUndefined();
  });

  it('does not restore a VM of which the conductor has newer news', async () => {
    const task = exampleTask();
    await carryOut(task);
    await carryOut(next(task, 'hibernated'));
    sink.verdict = () => 'stale';
    await carryOut(next(next(task, 'hibernated'), 'running'));
    expect(await hypervisor.state(task)).toBe('hibernated');
  });

  it('tells that there is nothing to hibernate, and makes nothing', async () => {
    await carryOut(next(exampleTask(), 'hibernated'));
    expect(sink.observed).toEqual(['absent']);
    expect(await hypervisor.inventory()).toEqual([]);
  });

  it.each(['stop', 'define', 'start'] as const)('ends a resize right when it was killed during %s and the task comes again', async (call) => {
    const task = exampleTask();
    await carryOut(task);
    const reached = new Promise<void>((wake) => {
      const original = hypervisor[call].bind(hypervisor) as (...args: unknown[]) => Promise<unknown>;
      hypervisor[call] = (async (...args: unknown[]) => {
        await original(...args);
        wake();
        return await new Promise<never>(() => undefined);
      }) as never;
    });
    const resize = resized(task);
    deliver(resize);
    await reached;
    await restart();
    expect(await carryOut(resize)).toEqual(['acknowledged']);
    expect(hypervisor.domain(task)).toMatchObject({ state: 'running', hardware: { vcpus: 2 } });
    expect(sink.reports.at(-1)).toMatchObject({ observed: 'running', generation: resize.generation });
  });

  it('tells when a guest has switched itself off', async () => {
    const task = exampleTask();
    hypervisor.onPowerChange(runner.onPowerChange);
    await carryOut(task);
    await hypervisor.guestPowersOff(task);
    await runner.drained();
    expect(sink.reports.at(-1)).toEqual({ incarnationId: 9, generation: 1, observed: 'stopped' });
  });

  it('leaves it to the heartbeat to show what somebody else has switched off', async () => {
    const task = exampleTask();
    hypervisor.onPowerChange(runner.onPowerChange);
    await carryOut(task);
    await hypervisor.tamper(task, { state: 'stopped' });
    runner.onPowerChange({ vmUuid: task.vmUuid, incarnationId: task.incarnationId, state: 'stopped' });
    await runner.drained();
    expect(sink.observed).toEqual(['building', 'running']);
  });

  it('lets a paused guest go on', async () => {
    const task = exampleTask();
    await carryOut(task);
    await hypervisor.tamper(task, { paused: true });
    await carryOut({ ...task, generation: 2 });
    expect(await hypervisor.inventory()).toEqual([{ vmUuid: task.vmUuid, incarnationId: task.incarnationId, state: 'running' }]);
  });

  it('makes a domain anew that somebody has removed, on the disk that it had', async () => {
    const task = exampleTask();
    await carryOut(task);
    const { fixedIp } = hypervisor.domain(task)!;
    await hypervisor.tamper(task, { state: 'stopped', undefined: true });
    await carryOut({ ...task, generation: 2, spec: { ...task.spec, hasDisk: true } });
    expect(hypervisor.domain(task)).toMatchObject({ state: 'running', fixedIp });
  });

  it.each(['domain and disk', 'disk'] as const)('never makes a new disk in the place of one that is gone (%s)', async (gone) => {
    const task = exampleTask();
    await carryOut(task);
    if (gone === 'disk') await hypervisor.tamper(task, { state: 'stopped', diskMissing: true });
    else await hypervisor.remove(task);
    await carryOut({ ...task, generation: 2, spec: { ...task.spec, hasDisk: true } });
    expect(sink.reports.at(-1)).toMatchObject({ observed: 'failed', reason: expect.stringContaining('disk of the virtual machine is missing') });
    expect(hypervisor.domain(task)?.state).not.toBe('running');
  });

  it('keeps the disk of a domain that was removed when it cannot be started again', async () => {
    const task = exampleTask();
    await carryOut(task);
    await hypervisor.tamper(task, { state: 'stopped', undefined: true });
    hypervisor.misbehaviours = { start: { kind: 'failing' } };
    await carryOut({ ...task, generation: 2, spec: { ...task.spec, hasDisk: true } });
    expect(sink.reports.at(-1)).toMatchObject({ observed: 'failed' });
    expect(hypervisor.domain(task)).toBeDefined();
  });

  it('says nothing of the power of a VM whose generation it does not know', async () => {
    const task = exampleTask();
    await carryOut(task);
    await restart();
    hypervisor.onPowerChange(runner.onPowerChange);
    await hypervisor.guestPowersOff(task);
    await runner.drained();
    expect(sink.observed).toEqual(['building', 'running']);
  });

  it('leaves a task unacknowledged when the worker goes before its report is answered', async () => {
    sink.verdict = () => {
      runner.halt();
      throw new Error('the worker has stopped');
    };
    expect(await carryOut(exampleTask())).toEqual([]);
  });
});
