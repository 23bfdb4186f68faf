/** What a fresh cloud offers: one region, and flavors from a quarter of a gigabyte to eight GPUs. */
import type { Region } from '../catalog/region.entity.js';

export const DEFAULT_REGION = 'default-1';

export const demoRegion = (name: string): Omit<Region, 'id'> => ({
  name,
  description: 'The first region of this cloud',
  country: 'Local',
  greenStatus: 'NOT_GREEN',
});

export interface DemoFlavor {
  readonly name: string;
  readonly displayName: string;
  readonly cpu: number;
  readonly ramMib: number;
  readonly disk: number;
  readonly gpu: string;
  readonly gpuCount: number;
}

const GIB = 1024;

const plain = (name: string, cpu: number, ramMib: number, disk: number): DemoFlavor => ({
  name,
  displayName: name,
  cpu,
  ramMib,
  disk,
  gpu: '',
  gpuCount: 0,
});

const withGpu = (gpu: string, gpuCount: number, cpu: number, ramGib: number, disk: number): DemoFlavor => ({
  name: `n3-${gpu}x${gpuCount}`,
  displayName: `${gpuCount} × ${gpu}`,
  cpu,
  ramMib: ramGib * GIB,
  disk,
  gpu,
  gpuCount,
});

export const DEMO_FLAVORS: readonly DemoFlavor[] = [
  plain('tiny-1', 1, 256, 1),
  plain('small-1', 1, 1 * GIB, 10),
  plain('medium-1', 2, 4 * GIB, 20),
  plain('large-1', 4, 8 * GIB, 40),
  plain('xlarge-1', 8, 32 * GIB, 100),
  withGpu('L40', 1, 28, 58, 100),
  withGpu('A100', 1, 28, 120, 100),
  withGpu('H100', 1, 28, 180, 100),
  withGpu('H100', 8, 192, 1440, 100),
];
