import { QUOTA_KINDS } from '../../conductor/quotas/quota-refusal.js';
import { setEnvironmentQuotaByName } from '../../conductor/quotas/environment-quotas.js';
import { setQuota } from '../../conductor/quotas/set-quota.js';
import type { Flags } from '../../config/load.js';
import { integerFlag, UsageError } from '../command-line.js';
import { formatTable } from '../table.js';
import type { Run } from './command.js';
import { print, withDatabase } from './database.js';

const LARGEST = 2 ** 31 - 1;

export const run: Run = async (invocation) => {
  const { organization, environment } = invocation.flags;
  if (typeof organization !== 'string') throw new UsageError('Say which --organization.');
  const limits = {
    vms: limit(invocation.flags, 'vms'),
    vcpus: limit(invocation.flags, 'vcpus'),
    memory_mib: limit(invocation.flags, 'memory-mib'),
    disk_gib: limit(invocation.flags, 'disk-gib'),
    gpus: limit(invocation.flags, 'gpus'),
    volumes: limit(invocation.flags, 'volumes'),
    volume_gib: limit(invocation.flags, 'volume-gib'),
    floating_ips: limit(invocation.flags, 'floating-ips'),
    snapshots: limit(invocation.flags, 'snapshots'),
    snapshot_gib: limit(invocation.flags, 'snapshot-gib'),
  };
  const quota = await withDatabase(invocation, (dataSource) =>
    typeof environment === 'string'
      ? setEnvironmentQuotaByName(dataSource, organization, environment, limits)
      : setQuota(dataSource, organization, limits),
  );
  if (quota === undefined)
    throw new UsageError(
      typeof environment === 'string'
        ? `There is no environment '${environment}' in an organization '${organization}'.`
        : `There is no organization '${organization}'.`,
    );
  const rows = quota.map(({ kind, used, max }) => [QUOTA_KINDS[kind], String(used), max === null ? 'unlimited' : String(max)]);
  print(formatTable(['WHAT', 'USED', 'AT MOST'], rows));
};

/** Undefined: leave it as it is. Null: without limit. */
function limit(flags: Flags, name: string): number | null | undefined {
  if (flags[name] === undefined) return undefined;
  return flags[name] === 'unlimited' ? null : integerFlag(flags, name, 0, [0, LARGEST]);
}
