import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { memoryOf, probeAcceleration, type ProbeOptions, type ProbeResult } from './acceleration-probe.js';
import type { LibvirtConnection } from './connection.js';

type Boot = 'lives' | 'dies' | 'is silent' | 'never starts' | 'is refused';

/** Of libvirt what the probe asks of it; each boot goes as the test says, in order. */
class Host {
  readonly boots: Boot[] = [];
  readonly started: string[] = [];
  readonly poweredOff: string[] = [];
  domains: { uuid: string; name: string; state: 'running' | 'stopped' }[] = [];

  readonly call = (async (method: string, argument: string) => {
    if (method === 'listDomains') return this.domains;
    if (method === 'domain') return this.domains.find(({ uuid }) => uuid === argument);
    if (method === 'powerOff') {
      this.poweredOff.push(argument);
      this.domains = this.domains.filter(({ uuid }) => uuid !== argument);
      return undefined;
    }
    if (method === 'startTransientDomain') return await this.start(argument);
    throw new Error(`unexpected call ${method}`);
  }) as unknown as LibvirtConnection['call'];

  private async start(xml: string): Promise<void> {
    const between = (before: string, after: string) => xml.split(before)[1]!.split(after)[0]!;
    this.started.push(between('mode="', '"'));
    const boot = this.boots.shift();
    if (boot === 'is refused') throw new Error('no such CPU');
    if (boot === 'never starts') return await new Promise(() => undefined);
    const state = boot === 'dies' ? 'stopped' : 'running';
    this.domains.push({ uuid: between('<uuid>', '</uuid>'), name: between('<name>', '</name>'), state });
    if (boot === 'lives') await writeFile(/[^"]*console\.log/.exec(xml)![0], 'baton-guest[0.61] init started\r\n');
  }
}

describe('the search for KVM', () => {
  let folder: string;
  let host: Host;
  let options: ProbeOptions;
  const probe = (): Promise<ProbeResult> => probeAcceleration(host, options, pino({ level: 'silent' }));

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'baton-probe-'));
    host = new Host();
    const file = async (name: string) => {
      await writeFile(join(folder, name), '');
      return join(folder, name);
    };
    const guest = { kernel: await file('vmlinuz'), initrd: await file('initrd.img') };
    options = { node: 'node-1', folder, guest, device: await file('kvm'), deadlineMs: 300 };
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('ends with the first CPU mode under which a guest lives, and leaves nothing of it', async () => {
    host.boots.push('dies', 'lives');
    expect(await probe()).toEqual({ accelerator: { kind: 'kvm', cpuMode: 'host-model' } });
    expect(host.started).toEqual(['host-passthrough', 'host-model']);
    expect(host.domains).toEqual([]);
    expect((await readdir(folder)).sort()).toEqual(['acceleration.json', 'initrd.img', 'kvm', 'vmlinuz']);
  });

  it.each<[Boot, string]>([
    ['dies', 'the guest died while booting'],
    ['is silent', 'no sign of life within 0.3 s'],
    ['never starts', 'no sign of life within 0.3 s'],
    ['is refused', 'no such CPU'],
  ])('ends in emulation, with the reason, when each guest %s', async (boot, reason) => {
    host.boots.push(boot, boot);
    const result = await probe();
    expect(result.accelerator).toEqual({ kind: 'tcg' });
    expect(result.reason).toContain(`host-passthrough: ${reason}; host-model: ${reason}`);
    expect(host.domains).toEqual([]);
  });

  it('is made once for each boot of the host', async () => {
    host.boots.push('lives', 'dies', 'dies');
    const first = await probe();
    expect(await probe()).toEqual(first);
    expect(host.started).toHaveLength(1);

    const remembered = JSON.parse(await readFile(memoryOf(folder), 'utf8')) as object;
    await writeFile(memoryOf(folder), JSON.stringify({ ...remembered, bootId: 'of-yesterday' }));
    expect((await probe()).accelerator).toEqual({ kind: 'tcg' });
  });

  it.each([
    ['without a device', { device: '/nowhere/kvm' }, 'this host has no /nowhere/kvm'],
    ['without a guest to boot', { guest: undefined }, 'no guest image to probe KVM with is configured'],
  ])('boots nothing %s, and does when that is there', async (_what, change, reason) => {
    const complete = options;
    options = { ...complete, ...change };
    expect(await probe()).toEqual({ accelerator: { kind: 'tcg' }, reason });
    expect(host.started).toEqual([]);

    options = complete;
    host.boots.push('lives');
    expect((await probe()).accelerator.kind).toBe('kvm');
  });

  it('stops what a killed worker of this node left probing, and nothing else', async () => {
    const domain = (name: string) => ({ uuid: name, name, state: 'running' as const });
    const others = ['baton-probe-node-10-0a1b2c3d', 'baton-probe-node-1-x-0a1b2c3d', 'baton-probe-node-1', 'mine'].map(domain);
    host.domains = [domain('baton-probe-node-1-0a1b2c3d'), ...others];
    host.boots.push('lives');
    await probe();
    expect(host.domains).toEqual(others);
  });
});
