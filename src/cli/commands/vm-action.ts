/** What is asked of a VM that is there: each action with its request, and the states in which it has come to its end. */
import type { Flags } from '../../config/load.js';
import { ApiClient, ApiRefusal } from '../api-client.js';
import { UsageError } from '../command-line.js';
import type { CliVm } from '../virtual-machines.js';
import { until } from '../waiting.js';
import type { Run } from './command.js';

export type VmActionName = 'start' | 'stop' | 'reboot' | 'hibernate' | 'restore' | 'resize' | 'delete';

interface VmAction {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: (flags: Flags) => string;
  readonly body?: (flags: Flags) => object;
  /** Where the action has led to when it worked. Deletion leads to nothing. */
  readonly done: readonly string[];
}

const ACTIONS: Readonly<Record<VmActionName, VmAction>> = {
  start: { method: 'GET', path: () => '/start', done: ['ACTIVE'] },
  stop: { method: 'GET', path: () => '/stop', done: ['SHUTOFF'] },
  reboot: { method: 'GET', path: () => '/hard-reboot', done: ['ACTIVE'] },
  hibernate: { method: 'GET', path: (flags) => `/hibernate?retain_ip=${flags['retain-ip'] === true}`, done: ['HIBERNATED'] },
  restore: { method: 'GET', path: () => '/hibernate-restore', done: ['ACTIVE'] },
  resize: { method: 'POST', path: () => '/resize', body: (flags) => ({ flavor_name: flavorOf(flags) }), done: ['ACTIVE', 'SHUTOFF'] },
  delete: { method: 'DELETE', path: () => '', done: [] },
};

/** In all others a VM is on its way. */
const SETTLED = ['ACTIVE', 'SHUTOFF', 'HIBERNATED', 'ERROR'];

export const VM_ACTIONS = Object.fromEntries(
  Object.entries(ACTIONS).map(([name, action]) => [name, runOf(action)]),
) as Readonly<Record<VmActionName, Run>>;

function runOf({ method, path, body, done }: VmAction): Run {
  return async ({ flags, environment }) => {
    const request = body?.(flags);
    const api = new ApiClient(environment);
    const vm = await api.vmPath(flags['name'] as string);
    const { message } = await api.call<{ message: string }>(method, `${vm}${path(flags)}`, request);
    process.stdout.write(`${message}.\n`);
    if (flags['wait'] !== true) return 0;
    const ended = await until(() => ending(api, vm));
    const { status, fault } = ended ?? { status: 'gone', fault: null };
    process.stdout.write(`It is ${status}${fault === null ? '' : `: ${fault}`}.\n`);
    return ended === null ? Number(done.length > 0) : Number(fault !== null || !done.includes(status));
  };
}

function flavorOf(flags: Flags): string {
  const { flavor } = flags;
  if (typeof flavor !== 'string') throw new UsageError('Say which --flavor.');
  return flavor;
}

/** @returns the VM, null when it is gone, nothing while it is on its way. */
async function ending(api: ApiClient, path: string): Promise<CliVm | null | undefined> {
  try {
    const { instance } = await api.get<{ instance: CliVm }>(path);
    return SETTLED.includes(instance.status) ? instance : undefined;
  } catch (error) {
    if (error instanceof ApiRefusal && error.httpStatus === 404) return null;
    throw error;
  }
}
