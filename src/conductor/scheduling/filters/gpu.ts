/** GPUs are passed through whole, by exact model: never shared, never overcommitted. */
import type { GpuSpec } from '../../../protocol/task.js';
import type { NodeView } from '../node-view.js';
import { freeOf, gpus, nodesThat } from '../quantities.js';
import type { ResourceFilter } from './filter.js';

const NONE: GpuSpec = { model: 'GPU', count: 0 };

/** Free of the wanted model once the VMs before this one have theirs. */
function free(node: NodeView, { model, count }: GpuSpec, vms: number): number {
  const stock = node.gpus.get(model);
  return stock === undefined ? 0 : stock.total - stock.used - count * (vms - 1);
}

export const gpuFilter: ResourceFilter = {
  name: 'gpu',

  keeps: (node, { gpu }, vms) => gpu === undefined || free(node, gpu, vms) >= gpu.count,

  reason(node, { gpu = NONE }, vms) {
    const stock = node.gpus.get(gpu.model);
    if (stock === undefined) return `has no ${gpu.model}`;
    return `has ${freeOf(free(node, gpu, vms), stock.total)} ${gpu.model} free`;
  },

  summary: (removed, { gpu = NONE }) => `${nodesThat(removed, 'lacks', 'lack')} ${gpus(gpu)}`,

  shortfall: (node, { gpu = NONE }, vms) => (gpu.count - free(node, gpu, vms)) / gpu.count,

  missing: (node, { gpu = NONE }, vms) => gpus({ model: gpu.model, count: gpu.count - free(node, gpu, vms) }),
};
