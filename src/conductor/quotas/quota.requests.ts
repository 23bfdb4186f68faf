/** What callers may send about quotas. */
import { applyDecorators } from '@nestjs/common';
import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsInt, IsOptional, Max, Min } from 'class-validator';
import type { Limits } from './set-quota.js';

const LARGEST = 2 ** 31 - 1;

const Limit = (description: string): PropertyDecorator =>
  applyDecorators(
    ApiPropertyOptional({ type: 'integer', nullable: true, minimum: 0, maximum: LARGEST, description }),
    Max(LARGEST),
    Min(0),
    IsInt(),
    IsOptional(),
  );

/** Null takes a limit away. What is not named stays. */
export class SetEnvironmentQuota implements Limits {
  @Limit('Virtual machines that hold a place on a node.')
  vms?: number | null;

  @Limit('Virtual CPUs, without those of hibernated VMs.')
  vcpus?: number | null;

  @Limit('Memory in MiB, without that of hibernated VMs.')
  memory_mib?: number | null;

  @Limit('Disk of VMs in GiB.')
  disk_gib?: number | null;

  @Limit('GPUs, without those of hibernated VMs.')
  gpus?: number | null;

  @Limit('Volumes.')
  volumes?: number | null;

  @Limit('GiB of volumes.')
  volume_gib?: number | null;

  @Limit('Floating IPs that VMs hold.')
  floating_ips?: number | null;

  @Limit('Snapshots.')
  snapshots?: number | null;

  @Limit('GiB that snapshots take.')
  snapshot_gib?: number | null;
}
