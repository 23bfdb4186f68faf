/**
 * How placement speaks of amounts. Free room is rounded down and what is lacking is rounded up, so that an
 * explanation never says "has 32 of 64 GiB free" of a node that could not take 32 GiB.
 */
const tenths = (round: (value: number) => number, value: number): string => String(round(value * 10) / 10);

export const vcpus = (count: number): string => (count === 1 ? '1 vCPU' : `${count} vCPUs`);

/** Exact, as the flavor has it. */
export const memory = (mib: number): string => `${Number((mib / 1024).toFixed(3))} GiB`;

export const freeOf = (free: number, total: number): string =>
  `${tenths(Math.floor, Math.max(0, free))} of ${tenths(Math.floor, total)}`;

export const lacking = (amount: number): string => tenths(Math.ceil, amount);

export const gpus = (gpu: { readonly model: string; readonly count: number }): string => `${gpu.count} × ${gpu.model}`;

/** "1 is down", "3 are down". */
export const nodesThat = (count: number, singular: string, plural: string): string =>
  `${count} ${count === 1 ? singular : plural}`;
