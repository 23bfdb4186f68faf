import { FLOATING_IP, priceBook, setPrice } from '../../conductor/billing/price-book.js';
import type { UsageKind } from '../../conductor/billing/usage-period.entity.js';
import { VOLUME_TYPES } from '../../conductor/volumes/volume.requests.js';
import type { Flags } from '../../config/load.js';
import { UsageError } from '../command-line.js';
import { formatTable } from '../table.js';
import type { Run } from './command.js';
import { print, withDatabase } from './database.js';

const HIGHEST = 1e9;

export const run: Run = async (invocation) => {
  const wanted = subject(invocation.flags);
  const perHour = price(invocation.flags);
  if ((wanted === undefined) !== (perHour === undefined))
    throw new UsageError('Say of what (--flavor, --volume-type or --floating-ip) and how much (--per-hour), or neither to see all prices.');
  const { book, currency } = await withDatabase(invocation, async (dataSource, config) => {
    if (wanted !== undefined) {
      const offered = await priceBook(dataSource, VOLUME_TYPES);
      if (!offered.some(({ kind, item }) => kind === wanted.kind && item === wanted.item))
        throw new UsageError(`There is no ${wanted.kind === 'volume' ? 'volume type' : 'flavor'} '${wanted.item}'.`);
      await setPrice(dataSource, wanted.kind, wanted.item, perHour!);
    }
    return { book: await priceBook(dataSource, VOLUME_TYPES), currency: config.currency };
  });
  const rows = book.map(({ kind, item, per_hour }) => [item === FLOATING_IP ? 'floating IP' : item, UNIT[kind], String(per_hour)]);
  print(formatTable(['WHAT', 'OF', `${currency} PER HOUR`], rows));
};

const UNIT: Readonly<Record<UsageKind, string>> = { 'virtual-machine': 'VM', volume: 'GB', 'floating-ip': 'address' };

function subject({ flavor, 'volume-type': volumeType, 'floating-ip': floatingIp }: Flags): { kind: UsageKind; item: string } | undefined {
  const named = [
    ...(typeof flavor === 'string' ? [{ kind: 'virtual-machine', item: flavor } as const] : []),
    ...(typeof volumeType === 'string' ? [{ kind: 'volume', item: volumeType } as const] : []),
    ...(floatingIp === true ? [{ kind: 'floating-ip', item: FLOATING_IP } as const] : []),
  ];
  if (named.length > 1) throw new UsageError('Set one price at a time.');
  return named[0];
}

function price({ 'per-hour': text }: Flags): number | undefined {
  if (text === undefined) return undefined;
  const value = typeof text === 'string' && /^\d+(\.\d{1,8})?$/.test(text) ? Number(text) : NaN;
  if (!(value <= HIGHEST)) throw new UsageError(`--per-hour must be a number from 0 to ${HIGHEST} with at most eight decimal places.`);
  return value;
}
