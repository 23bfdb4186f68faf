/** What the database says when a claim goes over an organization's quota, in words. */
import { QueryFailedError } from 'typeorm';
import { ApiError } from '../http/api-error.js';

/** SQLSTATE of `charge_organization` and what stands beside it. */
const QUOTA_EXCEEDED = 'BT002';

export const QUOTA_KINDS = {
  vms: 'virtual machines',
  vcpus: 'vCPUs',
  memory_mib: 'MiB of memory',
  disk_gib: 'GiB of disk',
  gpus: 'GPUs',
  volumes: 'volumes',
  volume_gib: 'GiB of volumes',
  floating_ips: 'floating IPs',
  snapshots: 'snapshots',
  snapshot_gib: 'GiB of snapshots',
} as const;

export type QuotaKind = keyof typeof QUOTA_KINDS;

export interface Excess {
  readonly kind: QuotaKind;
  readonly max: number;
  readonly used: number;
  readonly asked: number;
}

export const quotaExceeded = (excesses: readonly Excess[]): ApiError =>
  new ApiError(
    403,
    `The organization's quota is exceeded: ${excesses
      .map(({ kind, max, used, asked }) => `of ${max} ${QUOTA_KINDS[kind]}, ${used} are used and ${asked} more were asked for`)
      .join('; ')}. Delete what is not needed, or ask the operator to raise the quota.`,
    'quota_exceeded',
  );

/** @returns undefined when it was not the quota that the statement failed for. */
export function quotaRefusal(error: unknown): ApiError | undefined {
  if (!(error instanceof QueryFailedError)) return undefined;
  const { code, detail } = error.driverError as { code?: string; detail?: string };
  return code === QUOTA_EXCEEDED ? quotaExceeded(JSON.parse(detail ?? '[]') as Excess[]) : undefined;
}
