import { randomUUID } from 'node:crypto';
import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { exampleTask } from '../../../messaging/task-bus.contract.js';
import type { IncarnationId, VmUuid } from '../../../protocol/ids.js';
import type { DomainIdentity } from '../hypervisor.js';
import { SimulatedHypervisor, type SimulatedHypervisorOptions } from './simulated-hypervisor.js';

describe('the simulated hypervisor', () => {
  const { spec } = exampleTask();
  let folder: string;
  let journalPath: string;
  let hypervisor: SimulatedHypervisor;

  async function open(options: Partial<SimulatedHypervisorOptions> = {}): Promise<void> {
    const capacity = { cpus: 4, memoryMib: 4096, diskGib: 100, gpus: [{ model: 'A100-80G', count: 2 }] };
    hypervisor = new SimulatedHypervisor({ journalPath, capacity, ...options });
    await hypervisor.open();
  }

  const vm = (incarnation = 1, vmUuid = randomUUID() as VmUuid): DomainIdentity => ({
    vmUuid,
    incarnationId: incarnation as IncarnationId,
  });

  const define = (identity: DomainIdentity): Promise<void> => hypervisor.define(identity, spec, 'token');

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'baton-simulated-'));
    journalPath = join(folder, 'domains.jsonl');
    await open();
  });

  afterEach(async () => {
    await hypervisor.close();
    await rm(folder, { recursive: true });
  });

  it('takes a VM through its life', async () => {
    const identity = vm();
    expect(await hypervisor.state(identity)).toBeUndefined();
    await define(identity);
    expect(await hypervisor.state(identity)).toBe('stopped');
    await hypervisor.start(identity);
    expect(await hypervisor.inventory()).toEqual([{ ...identity, state: 'running' }]);
    await hypervisor.stop(identity);
    expect(await hypervisor.state(identity)).toBe('stopped');
    await hypervisor.remove(identity);
    expect(await hypervisor.inventory()).toEqual([]);
  });

  it('may be asked everything twice', async () => {
    const identity = vm();
    for (let times = 0; times < 2; times++) await define(identity);
    for (const call of ['start', 'start', 'stop', 'stop', 'remove', 'remove'] as const) await hypervisor[call](identity);
    expect(await hypervisor.inventory()).toEqual([]);
  });

  it('refuses to start what is not defined', async () => {
    await expect(hypervisor.start(vm())).rejects.toMatchObject({ name: 'HypervisorError', retryable: true });
  });

  it('takes a domain of another incarnation for none, and replaces it', async () => {
    const former = vm(1);
    const present = vm(2, former.vmUuid);
    await define(former);
    expect(await hypervisor.state(present)).toBeUndefined();
    await define(present);
    await hypervisor.remove(former);
    expect(await hypervisor.inventory()).toEqual([{ ...present, state: 'stopped' }]);
  });

  it('knows its domains again after the process was killed', async () => {
    const [running, stopped, gone] = [vm(1), vm(2), vm(3)];
    const address = await define(running);
    await hypervisor.start(running);
    await define(stopped);
    await define(gone);
    await hypervisor.remove(gone);
    const killed = hypervisor;

    await open();
    expect(await hypervisor.inventory()).toEqual([
      { ...running, state: 'running' },
      { ...stopped, state: 'stopped' },
    ]);
    expect(await define(running)).toBe(address);
    await killed.close();
  });

  it('drops the line that a crash cut off', async () => {
    const identity = vm();
    await define(identity);
    await hypervisor.close();
    await appendFile(journalPath, `{"vmUuid":"${identity.vmUuid}","rem`);
    await open();
    expect(await hypervisor.state(identity)).toBe('stopped');
    await hypervisor.start(identity);
    await hypervisor.close();
    await open();
    expect(await hypervisor.state(identity)).toBe('running');
  });

  it('keeps one line a domain when it is opened again', async () => {
    const identity = vm();
    for (let round = 0; round < 20; round++) {
      await define(identity);
      await hypervisor.remove(identity);
    }
    await define(identity);
    await hypervisor.close();
    await open();
    expect((await readFile(journalPath, 'utf8')).trim().split('\n')).toHaveLength(1);
  });

  it('has a guest at the address that the conductor assigned, after a restart too', async () => {
    const identity = vm();
    await define(identity);
    await hypervisor.close();
    await open();
    expect(hypervisor.domain(identity)?.fixedIp).toBe(spec.network.address);
    expect((await hypervisor.consoleLog(identity, 1000)).toString()).toContain(`address ${spec.network.address}`);
  });

  it('takes its time to boot', async () => {
    await hypervisor.close();
    await open({ bootMs: 60 });
    const identity = vm();
    await define(identity);
    const began = Date.now();
    await hypervisor.start(identity);
    expect(Date.now() - began).toBeGreaterThanOrEqual(55);
  });

  it('fails as many starts as it is told', async () => {
    await hypervisor.close();
    await open({ failureRate: 1 });
    const identity = vm();
    await define(identity);
    await expect(hypervisor.start(identity)).rejects.toMatchObject({ name: 'HypervisorError', retryable: false });
    expect(await hypervisor.state(identity)).toBe('stopped');
  });

  it('can lie about what it did', async () => {
    const identity = vm();
    await define(identity);
    hypervisor.misbehaviours = { start: { kind: 'lying' } };
    await hypervisor.start(identity);
    expect(await hypervisor.state(identity)).toBe('stopped');
  });

  it('has the capacity that it is given', async () => {
    expect(await hypervisor.capacity()).toMatchObject({ cpus: 4, gpus: [{ model: 'A100-80G', count: 2 }] });
  });
});
