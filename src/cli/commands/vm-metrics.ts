import { ApiClient } from '../api-client.js';
import { formatTable } from '../table.js';
import type { Run } from './command.js';

interface Metric {
  readonly data: readonly (readonly { readonly time: string; readonly granularity: number; readonly value: number }[])[];
}

type Metrics = Readonly<Record<'cpu' | 'memory.usages' | 'disk.read' | 'disk.write' | 'network.in' | 'network.out', Metric>>;

const HEADER = ['TIME', 'CPU %', 'MEMORY MIB', 'DISK READ KIB/S', 'DISK WRITE KIB/S', 'NET IN KIB/S', 'NET OUT KIB/S'];
const NS_PER_PERCENT = 1e7;
const KIB = 1024;

export const run: Run = async ({ flags, environment }) => {
  const api = new ApiClient(environment);
  const duration = (flags['duration'] as string | undefined) ?? '1h';
  const metrics = await api.get<Metrics>(`${await api.vmPath(flags['name'] as string)}/metrics?duration=${encodeURIComponent(duration)}`);
  const rows = metrics.cpu.data.map(([point], index) => {
    const perSecond = (name: keyof Metrics, unit: number): string => (metrics[name].data[index]![0]!.value / point!.granularity / unit).toFixed(1);
    return [
      point!.time,
      perSecond('cpu', NS_PER_PERCENT),
      metrics['memory.usages'].data[index]![0]!.value,
      ...(['disk.read', 'disk.write', 'network.in', 'network.out'] as const).map((name) => perSecond(name, KIB)),
    ];
  });
  process.stdout.write(`${formatTable(HEADER, rows)}\n`);
};
