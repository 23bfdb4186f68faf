import type { Flags } from '../../config/load.js';
import { ApiClient } from '../api-client.js';
import { integerFlag, UsageError } from '../command-line.js';
import { formatTable } from '../table.js';
import type { Run } from './command.js';

interface Vm {
  readonly id: number;
  readonly name: string;
  readonly status: string;
}

const LARGEST = 2 ** 31 - 1;

export const run: Run = async ({ flags, environment }) => {
  const request = requestOf(flags);
  const { instances } = await new ApiClient(environment).call<{ instances: Vm[] }>('POST', '/core/virtual-machines', request);
  process.stdout.write(`${formatTable(['ID', 'VM', 'STATUS'], instances.map(({ id, name, status }) => [id, name, status]))}\n`);
};

/** What contradicts itself is the API's to refuse. */
function requestOf(flags: Flags): object {
  for (const needed of ['environment', 'key']) if (flags[needed] === undefined) throw new UsageError(`Say which --${needed}.`);
  const named = {
    name: flags['name'],
    environment_name: flags['environment'],
    key_name: flags['key'],
    flavor_name: flags['flavor'],
    image_name: flags['image'],
    volume_name: flags['volume'],
    create_bootable_volume: flags['bootable-volume'],
    assign_floating_ip: flags['floating-ip'],
    callback_url: flags['callback'],
  };
  return { ...named, count: integerFlag(flags, 'count', 1, [1, LARGEST]), flavor: measuresOf(flags) };
}

function measuresOf(flags: Flags): object | undefined {
  if (['cpu', 'ram', 'disk', 'gpu', 'gpu-count'].every((name) => flags[name] === undefined)) return undefined;
  const ram = Number(flags['ram']);
  if (!(ram > 0)) throw new UsageError('--ram must be a number of GB.');
  return {
    cpu: integerFlag(flags, 'cpu', 0, [1, LARGEST]),
    ram,
    disk: integerFlag(flags, 'disk', 0, [1, LARGEST]),
    gpu: flags['gpu'],
    gpu_count: integerFlag(flags, 'gpu-count', 0, [0, LARGEST]),
  };
}
