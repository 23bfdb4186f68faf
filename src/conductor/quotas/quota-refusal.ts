/** What the database says when a claim goes over the quota of an organization or of an environment, in words. */
import { QueryFailedError } from 'typeorm';
import { ApiError } from '../http/api-error.js';

/** SQLSTATE of `charge_organization` and what stands beside it. */
const ORGANIZATION_EXCEEDED = 'BT002';

/** SQLSTATE of `charge_environment`. */
const ENVIRONMENT_EXCEEDED = 'BT003';

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

export const QUOTA_KIND_NAMES = Object.keys(QUOTA_KINDS) as QuotaKind[];

export interface Excess {
  readonly kind: QuotaKind;
  readonly max: number;
  readonly used: number;
  readonly asked: number;
}

/** @param environment whose limit it is; the organization's where none is named. */
export const quotaExceeded = (excesses: readonly Excess[], environment?: string): ApiError =>
  new ApiError(
    403,
    `${environment === undefined ? "The organization's quota" : `The quota of the environment '${environment}'`} is exceeded: ${excesses
      .map(({ kind, max, used, asked }) => `of ${max} ${QUOTA_KINDS[kind]}, ${used} are used and ${asked} more were asked for`)
      .join('; ')}. Delete what is not needed, or ask ${environment === undefined ? 'the operator' : 'an owner of the organization'} to raise the quota.`,
    'quota_exceeded',
  );

/** @returns undefined when it was not a quota that the statement failed for. */
export function quotaRefusal(error: unknown): ApiError | undefined {
  if (!(error instanceof QueryFailedError)) return undefined;
  const { code, detail } = error.driverError as { code?: string; detail?: string };
  if (code === ORGANIZATION_EXCEEDED) return quotaExceeded(JSON.parse(detail ?? '[]') as Excess[]);
  if (code !== ENVIRONMENT_EXCEEDED) return undefined;
  const { environment, excesses } = JSON.parse(detail!) as { environment: string; excesses: Excess[] };
  return quotaExceeded(excesses, environment);
}
