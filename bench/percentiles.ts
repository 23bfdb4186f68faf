/** p50 and p99 by the nearest rank, to a hundredth. */
export function percentiles(values: readonly number[]): { p50: number; p99: number } {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]! * 100) / 100;
  return { p50: at(0.5), p99: at(0.99) };
}
