/**
 * The watchdog on libvirt's real QEMU: what happens to a guest that may be started elsewhere when nobody renews the lease,
 * as when the worker is frozen. The guest has an empty disk; that it runs is told by its QEMU.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { uptime } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import pino from 'pino';
import { guestProcesses } from '../../src/compute/hypervisor/libvirt/libvirt-fence.js';
import type { LibvirtDaemons } from '../../src/compute/hypervisor/libvirt/daemons.js';
import type { LibvirtHypervisor } from '../../src/compute/hypervisor/libvirt/libvirt-hypervisor.js';
import { fencedFile, leaseFile } from '../../src/compute/lease/lease.js';
import type { IncarnationId, VmUuid } from '../../src/protocol/ids.js';
import type { VmSpec } from '../../src/protocol/task.js';
import { eventually } from '../support/eventually.js';
import { nodeNetwork, place } from './test-network.js';

const run = promisify(execFile);
const dist = resolve(import.meta.dirname, '../../dist/compute');
const built = <T>(file: string): Promise<T> => import(join(dist, 'hypervisor/libvirt', file)) as Promise<T>;

const NODE = `fence-${process.pid}`;
const PATIENCE_MS = 120_000;
const vm = { vmUuid: randomUUID() as VmUuid, incarnationId: 1 as IncarnationId };

let folder: string;
let data: string;
let daemons: LibvirtDaemons;
let hypervisor: LibvirtHypervisor;
let watchdog: ChildProcess;
let spec: VmSpec;

const guests = (): Promise<number[]> => guestProcesses(new Set([vm.vmUuid]));

const lease = (seconds: number): Promise<void> =>
  writeFile(leaseFile(data), JSON.stringify({ until: (uptime() + seconds) * 1000, watchdog: 'watchdog-1', worker: process.pid }));

beforeAll(async () => {
  folder = await mkdtemp('/var/tmp/baton-fence-');
  await chmod(folder, 0o755);
  data = join(folder, 'data');
  await mkdir(join(data, 'images'), { recursive: true });
  const image = join(folder, 'empty.qcow2');
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', image, '1M']);
  const bytes = await readFile(image);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  await writeFile(join(data, 'images', sha256), bytes);
  spec = {
    name: 'fenced',
    power: 'running',
    vcpus: 1,
    memoryMib: 64,
    diskGib: 1,
    network: place(2),
    image: { name: 'empty', disk: { url: 'image-files/empty', sha256, format: 'qcow2' } },
    autoRecover: true,
  };
  daemons = await (await built<typeof import('../../src/compute/hypervisor/libvirt/daemons.js')>('daemons.js')).ensureLibvirtDaemons();
  const module = await built<typeof import('../../src/compute/hypervisor/libvirt/libvirt-hypervisor.js')>('libvirt-hypervisor.js');
  hypervisor = new module.LibvirtHypervisor({
    node: NODE,
    dataFolder: data,
    network: nodeNetwork(NODE, 8775),
    conductorUrl: 'http://127.0.0.1:1',
    conductorHeaders: () => ({}),
    acceleration: 'tcg',
    log: pino({ level: process.env.LOG_LEVEL ?? 'silent' }),
  });
  await hypervisor.open();
  await lease(600);
  watchdog = spawn(process.execPath, [join(dist, 'lease/watchdog.js'), data, 'libvirt', 'watchdog-1'], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(watchdog.stdout!, 'data');
}, PATIENCE_MS);

afterAll(async () => {
  watchdog?.kill('SIGKILL');
  await hypervisor?.unfence();
  await hypervisor?.remove(vm);
  await hypervisor?.network.destroy();
  await hypervisor?.close();
  await daemons?.stop();
  await rm(folder, { recursive: true, force: true });
}, PATIENCE_MS);

it('leaves a guest alone while the lease holds', async () => {
  await hypervisor.define(vm, spec, 'token');
  await hypervisor.start(vm);
  expect(await guests()).toHaveLength(1);
  expect(await hypervisor.state(vm)).toBe('running');
}, PATIENCE_MS);

it('kills it when the lease has run out, and no start in hand succeeds any more (P5)', async () => {
  await lease(-1);
  await eventually(async () => expect(await guests()).toEqual([]), 20_000);
  await eventually(async () => expect(await hypervisor.state(vm)).toBe('stopped'), 20_000);
  await expect(hypervisor.start(vm)).rejects.toThrow('cannot be started');
  await expect(hypervisor.define(vm, spec, 'token')).rejects.toThrow('locked until its node has its lease again');
  expect(await guests()).toEqual([]);
}, PATIENCE_MS);

it('lets it start again, with its disk, when the lease is held again', async () => {
  await lease(600);
  await rm(fencedFile(data), { force: true });
  await hypervisor.unfence();
  await hypervisor.start(vm);
  expect(await guests()).toHaveLength(1);
}, PATIENCE_MS);
