import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { exampleTask } from '../../messaging/task-bus.contract.js';
import type { VolumeUuid } from '../../protocol/ids.js';
import type { ConvergeTask, DesiredPower } from '../../protocol/task.js';
import type { ReportDraft } from '../uplink/reporter.js';
import { SimulatedHypervisor } from '../hypervisor/simulated/simulated-hypervisor.js';
import { converge } from './converge.js';

const VOLUME = { uuid: randomUUID() as VolumeUuid, sizeGib: 10 };
const OTHER = { uuid: randomUUID() as VolumeUuid, sizeGib: 5 };

describe('the volumes of a VM', () => {
  let folder: string;
  let hypervisor: SimulatedHypervisor;
  let reports: ReportDraft[];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'baton-volumes-'));
    reports = [];
    hypervisor = new SimulatedHypervisor({
      journalPath: join(folder, 'domains.jsonl'),
      capacity: { cpus: 4, memoryMib: 4096, diskGib: 100, gpus: [] },
    });
    await hypervisor.open();
  });

  afterEach(async () => {
    await hypervisor.close();
    await rm(folder, { recursive: true });
  });

  const wanting = (task: ConvergeTask, volumes: ConvergeTask['spec']['volumes'], power: DesiredPower = 'running'): ConvergeTask => ({
    ...task,
    generation: task.generation + 1,
    spec: { ...task.spec, power, ...(volumes && { volumes }) },
  });

  const carryOut = (task: ConvergeTask): Promise<void> =>
    converge(task, { newestGeneration: task.generation }, {
      hypervisor,
      report: async (draft) => (reports.push(draft), 'accepted'),
      logger: pino({ level: 'silent' }),
    });

  it('are given to it while it runs, changed, and taken away, and each time the worker tells what it has', async () => {
    const task = exampleTask();
    await carryOut(task);
    expect(reports.at(-1)).not.toHaveProperty('volumes');
    for (const volumes of [[VOLUME], [VOLUME, OTHER], [OTHER], []]) {
      await carryOut(wanting(task, volumes));
      expect(hypervisor.volumesOf(task)).toEqual(volumes.map(({ uuid }) => uuid));
      expect(reports.at(-1)).toMatchObject({ observed: 'running', volumes: volumes.map(({ uuid }) => uuid) });
    }
  });

  it('are there before the guest starts', async () => {
    const task = wanting(exampleTask(), [VOLUME]);
    let atStart: unknown;
    const start = hypervisor.start.bind(hypervisor);
    hypervisor.start = (identity) => ((atStart = hypervisor.volumesOf(identity)), start(identity));
    await carryOut(task);
    expect(atStart).toEqual([VOLUME.uuid]);
  });

  it('are given to one that is off, and it stays off', async () => {
    const task = exampleTask();
    await carryOut(wanting(task, undefined, 'stopped'));
    await carryOut(wanting(task, [VOLUME], 'stopped'));
    expect(reports.at(-1)).toMatchObject({ observed: 'stopped', volumes: [VOLUME.uuid] });
    expect(await hypervisor.state(task)).toBe('stopped');
  });

  it('are not told of when they could not be given', async () => {
    const task = exampleTask();
    await carryOut(task);
    hypervisor.misbehaviours = { setVolumes: { kind: 'failing' } };
    await carryOut(wanting(task, [VOLUME]));
    expect(reports.at(-1)).toMatchObject({ observed: 'failed', reason: expect.stringContaining('setVolumes') });
    expect(reports.at(-1)).not.toHaveProperty('volumes');
    expect(await hypervisor.state(task)).toBe('running');
  });

  it('are with one VM at a time, and free when that is gone', async () => {
    const [first, second] = [wanting(exampleTask(), [VOLUME]), wanting({ ...exampleTask(), incarnationId: 10 as never }, [VOLUME])];
    await carryOut(first);
    await carryOut(second);
    expect(reports.at(-1)).toMatchObject({ observed: 'failed', reason: 'The volume is in use by another virtual machine.' });
    await expect(hypervisor.removeVolume(VOLUME.uuid)).rejects.toThrow('in use');
    await carryOut(wanting(first, [VOLUME], 'absent'));
    await carryOut(second);
    expect(hypervisor.volumesOf(second)).toEqual([VOLUME.uuid]);
  });
});
