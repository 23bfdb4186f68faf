/** What the commands about images have in common: finding one, saying how it is, registering one. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Flags } from '../config/load.js';
import type { ApiClient } from './api-client.js';
import { integerFlag, listFlag, UsageError } from './command-line.js';

export interface CliImage {
  readonly id: number;
  readonly name: string;
  readonly region_name: string;
  readonly type: string;
  readonly version: string;
  readonly display_size: string;
  readonly is_public: boolean;
  readonly status: 'awaiting-upload' | 'queued' | 'downloading' | 'available' | 'error';
  readonly problem: string | null;
  readonly labels: readonly { readonly label: string }[];
  readonly minimum_disk: number;
  readonly transfer: {
    readonly source: string;
    readonly url: string | null;
    readonly format: string;
    readonly checksum: string | null;
    readonly percent: number | null;
    readonly bytes: number;
    readonly deadline: string | null;
    readonly owner: string | null;
    readonly next_action: string | null;
  } | null;
}

const LOOK_EVERY_MS = 1_000;
const LARGEST_DISK = 65_536;

export async function listImages(api: ApiClient): Promise<CliImage[]> {
  const { images } = await api.get<{ images: { images: CliImage[] }[] }>('/core/images');
  return images.flatMap((group) => group.images);
}

/** @param wanted name or id; of two with one name the private one, which VMs are made of too. */
export async function findImage(api: ApiClient, wanted: string): Promise<CliImage> {
  const found = (await listImages(api)).filter(({ id, name }) => name === wanted || String(id) === wanted);
  const own = found.filter((image) => !image.is_public);
  const candidates = own.length > 0 ? own : found;
  if (candidates.length === 0) throw new Error(`There is no image '${wanted}'.`);
  if (candidates.length > 1) throw new UsageError(`There are images '${wanted}' in several regions: say which by its id.`);
  return candidates[0]!;
}

export function stateOf({ status, transfer }: CliImage): string {
  return status === 'downloading' && typeof transfer?.percent === 'number' ? `${status} ${transfer.percent}%` : status;
}

export async function registerImage(api: ApiClient, flags: Flags, request: { name: string; url?: string; checksum?: string }): Promise<CliImage> {
  const minimumDisk = integerFlag(flags, 'minimum-disk', 0, [1, LARGEST_DISK]);
  const { image } = await api.call<{ image: CliImage }>('POST', '/core/images', {
    ...request,
    region_name: flags['region'] ?? (await onlyRegion(api)),
    format: flags['format'] ?? 'qcow2',
    ...(flags['type'] !== undefined && { type: flags['type'] }),
    ...(flags['release'] !== undefined && { version: flags['release'] }),
    ...(minimumDisk > 0 && { minimum_disk: minimumDisk }),
    labels: listFlag(flags, 'labels'),
  });
  return image;
}

/** Tells each change until there is nothing to wait for. @returns the exit status. */
export async function followImage(api: ApiClient, id: number, tell: (line: string) => void): Promise<number> {
  let told = '';
  for (;;) {
    const { image } = await api.get<{ image: CliImage }>(`/core/images/${id}`);
    const state = image.problem === null ? stateOf(image) : `${image.status}: ${image.problem}`;
    if (state !== told) tell((told = state));
    if (image.status === 'available') return 0;
    if (image.status === 'error') return 1;
    await sleep(LOOK_EVERY_MS);
  }
}

async function onlyRegion(api: ApiClient): Promise<string> {
  const { regions } = await api.get<{ regions: { name: string }[] }>('/core/regions');
  if (regions.length === 1) return regions[0]!.name;
  throw new UsageError(`Say which --region: ${regions.map(({ name }) => name).join(', ')}.`);
}
