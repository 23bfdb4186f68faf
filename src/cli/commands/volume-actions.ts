/** What is asked of a volume that is there: to be with a VM, to be so no longer, to be gone. */
import { ApiClient, ApiRefusal } from '../api-client.js';
import { UsageError } from '../command-line.js';
import { until } from '../waiting.js';
import type { Run } from './command.js';

interface Volume {
  readonly status: string;
  readonly fault: string | null;
  readonly attachments: readonly { readonly instance_id: number; readonly status: string }[];
}

interface Attached {
  readonly message: string;
  readonly volume_attachments: readonly { readonly device: string }[];
}

/** In all others a volume is on its way. */
const SETTLED = ['available', 'in-use', 'error'];

export const attach: Run = async ({ flags, environment }) => {
  if (typeof flags['vm'] !== 'string') throw new UsageError('Say to which --vm.');
  const api = new ApiClient(environment);
  const id = await api.volumeId(flags['name'] as string);
  const { message, volume_attachments } = await api.call<Attached>('POST', `${await api.vmPath(flags['vm'])}/attach-volumes`, {
    volume_ids: [id],
    protected: flags['protected'] === true,
  });
  process.stdout.write(`${message}. In the guest: ${volume_attachments[0]!.device}\n`);
  return flags['wait'] === true ? await ended(api, id, 'in-use') : 0;
};

export const detach: Run = async ({ flags, environment }) => {
  const api = new ApiClient(environment);
  const id = await api.volumeId(flags['name'] as string);
  const held = (await find(api, id))?.attachments.find(({ status }) => status !== 'DETACHED');
  if (held === undefined) throw new Error(`No VM has the volume '${flags['name'] as string}'.`);
  const { message } = await api.call<Attached>('POST', `/core/virtual-machines/${held.instance_id}/detach-volumes`, { volume_ids: [id] });
  process.stdout.write(`${message}.\n`);
  return flags['wait'] === true ? await ended(api, id, 'available') : 0;
};

export const remove: Run = async ({ flags, environment }) => {
  const api = new ApiClient(environment);
  const id = await api.volumeId(flags['name'] as string);
  const { message } = await api.call<{ message: string }>('DELETE', `/core/volumes/${id}`);
  process.stdout.write(`${message}.\n`);
  return flags['wait'] === true ? await ended(api, id, 'gone') : 0;
};

/** Waits and tells. @returns the exit status: 0 where it came to what it was asked for. */
async function ended(api: ApiClient, id: number, wanted: string): Promise<number> {
  const { status, fault } = await until(async () => {
    const volume = await find(api, id);
    if (volume === null) return { status: 'gone', fault: null };
    return SETTLED.includes(volume.status) ? volume : undefined;
  });
  process.stdout.write(`It is ${status}${fault === null ? '' : `: ${fault}`}.\n`);
  return Number(status !== wanted);
}

/** @returns null when it is gone. */
async function find(api: ApiClient, id: number): Promise<Volume | null> {
  try {
    return (await api.get<{ volume: Volume }>(`/core/volumes/${id}`)).volume;
  } catch (error) {
    if (error instanceof ApiRefusal && error.httpStatus === 404) return null;
    throw error;
  }
}
