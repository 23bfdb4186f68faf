/** Which of the host's GPUs a VM gets. The caller holds the lock under which the list of those in use was read. */
import type { GpuSpec } from '../../../protocol/task.js';
import { HypervisorError } from '../hypervisor.js';
import type { LocalGpu } from './options.js';

export function freeGpuAddresses(
  gpus: readonly LocalGpu[],
  wanted: GpuSpec | undefined,
  inUse: ReadonlySet<string>,
): readonly string[] {
  if (!wanted || wanted.count === 0) return [];
  const addresses = gpus.filter(({ model }) => model === wanted.model).flatMap((gpu) => gpu.pciAddresses ?? []);
  const free = addresses.filter((address) => !inUse.has(address)).slice(0, wanted.count);
  if (free.length === wanted.count) return free;
  throw new HypervisorError(
    `The node has ${free.length} free GPUs of the model '${wanted.model}', but ${wanted.count} are needed.`,
    true,
    { cause: new Error(`${addresses.length} PCI addresses are configured for ${wanted.model}, ${inUse.size} in use`) },
  );
}
