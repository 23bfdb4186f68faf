import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { exampleTask } from '../../messaging/task-bus.contract.js';
import type { SnapshotUuid } from '../../protocol/ids.js';
import type { ConvergeTask, DesiredPower } from '../../protocol/task.js';
import { SimulatedHypervisor } from '../hypervisor/simulated/simulated-hypervisor.js';
import type { ReportDraft } from '../uplink/reporter.js';
import { converge } from './converge.js';

describe('the snapshot of a VM', () => {
  const uuid = randomUUID() as SnapshotUuid;
  let folder: string;
  let hypervisor: SimulatedHypervisor;
  let reports: ReportDraft[];

  const openHypervisor = async (): Promise<void> => {
    hypervisor = new SimulatedHypervisor({
      journalPath: join(folder, 'domains.jsonl'),
      capacity: { cpus: 4, memoryMib: 4096, diskGib: 100, gpus: [] },
    });
    await hypervisor.open();
  };

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'baton-snapshot-'));
    reports = [];
    await openHypervisor();
  });

  afterEach(async () => {
    await hypervisor.close();
    await rm(folder, { recursive: true });
  });

  const wanting = (task: ConvergeTask, power: DesiredPower = 'running'): ConvergeTask => ({
    ...task,
    generation: task.generation + 1,
    spec: { ...task.spec, power, snapshot: { uuid } },
  });

  const carryOut = (task: ConvergeTask): Promise<void> =>
    converge(task, { newestGeneration: task.generation }, {
      hypervisor,
      report: async (draft) => (reports.push(draft), 'accepted'),
      logger: pino({ level: 'silent' }),
    });

  it.each([
    ['running', 'running'],
    ['stopped', 'stopped'],
  ] as const)('is taken while it is %s, which it stays, and told with what it takes', async (power, observed) => {
    const task = exampleTask();
    await carryOut({ ...task, spec: { ...task.spec, power } });
    expect(reports.at(-1)).not.toHaveProperty('snapshot');
    await carryOut(wanting(task, power));
    expect(reports.at(-1)).toMatchObject({ observed, snapshot: { uuid, sizeBytes: expect.any(Number) } });
    expect(await hypervisor.snapshots()).toEqual([uuid]);
  });

  it('is taken once, by whichever process, and told again', async () => {
    const task = exampleTask();
    await carryOut(task);
    await carryOut(wanting(task));
    await hypervisor.close();
    await openHypervisor();
    await carryOut(wanting(task));
    expect(await hypervisor.snapshots()).toEqual([uuid]);
    expect(reports.at(-1)).toMatchObject({ snapshot: { uuid } });
  });

  it('that cannot be taken is told with the reason, and the VM is none the worse', async () => {
    const task = exampleTask();
    await carryOut(task);
    hypervisor.misbehaviours = { takeSnapshot: { kind: 'failing' } };
    await carryOut(wanting(task));
    expect(reports.at(-1)).toMatchObject({ observed: 'running', snapshot: { uuid, problem: expect.stringContaining('told to fail') } });
    expect(await hypervisor.state(task)).toBe('running');
  });

  it('is tried again when that may help', async () => {
    const task = exampleTask();
    await carryOut(task);
    hypervisor.misbehaviours = { takeSnapshot: { kind: 'rejecting', times: 2 } };
    await carryOut(wanting(task));
    expect(reports.at(-1)).toMatchObject({ snapshot: { uuid, sizeBytes: expect.any(Number) } });
  });

  it('is what another VM is made of, on its node alone', async () => {
    const task = exampleTask();
    const copy: ConvergeTask = {
      ...exampleTask(),
      spec: { ...task.spec, image: { ...task.spec.image, disk: { snapshot: uuid, format: 'qcow2' } } },
    };
    await carryOut(copy);
    expect(reports.at(-1)).toMatchObject({ observed: 'failed', reason: expect.stringContaining('not on this compute node') });
    await carryOut(task);
    await carryOut(wanting(task));
    await carryOut({ ...copy, generation: copy.generation + 1 });
    expect(reports.at(-1)).toMatchObject({ observed: 'running' });
  });
});
