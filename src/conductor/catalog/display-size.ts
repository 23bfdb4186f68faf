/** A size in bytes as people read it: `25 GiB`, `1.5 GiB`, `48 MiB`. */
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

export function displaySize(bytes: number): string {
  let amount = bytes;
  let unit = 0;
  while (amount >= 1024 && unit < UNITS.length - 1) {
    amount /= 1024;
    unit++;
  }
  return `${Number(amount.toFixed(amount < 10 ? 1 : 0))} ${UNITS[unit]}`;
}
