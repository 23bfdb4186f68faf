/**
 * Sizes made to measure: the `flavor` of a creation request. Each becomes a row of its own beside the offered flavors,
 * named by what it is, so that everything that knows flavors knows it too; requests for the same size share it. It is in
 * no list and cannot be asked for by name.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import type { OrganizationId } from '../../protocol/ids.js';
import { ApiError, badRequest } from '../http/api-error.js';
import type { FlavorObjectFields } from './vm.requests.js';

const MIB_PER_GB = 1024;

@Injectable()
export class CustomFlavors {
  constructor(
    private readonly dataSource: DataSource,
    @InjectConfig() private readonly config: Config,
  ) {}

  /**
   * @returns the name of the flavor, which is there when the environment is.
   * @throws ApiError 403 where the operator does not offer sizes made to measure, 400 for half a wish for GPUs.
   */
  async ensure(organizationId: OrganizationId, environment: string, { cpu, ram, disk, gpu, gpu_count }: FlavorObjectFields): Promise<string> {
    if (!this.config.customFlavors)
      throw new ApiError(403, 'Sizes made to measure are not offered here. Name a flavor in flavor_name; GET /v1/core/flavors lists them.');
    if ((gpu_count ?? 0) > 0 !== Boolean(gpu)) throw badRequest('flavor: gpu and gpu_count must be given together.');
    const ramMib = Math.round(ram * MIB_PER_GB);
    const name = `custom-${cpu}-${ramMib}-${disk}${gpu ? `-${gpu}-${gpu_count}` : ''}`;
    await this.dataSource.query(
      `INSERT INTO flavor (region_id, name, cpu, ram_mib, disk, gpu, gpu_count, custom)
       SELECT e.region_id, $3, $4, $5, $6, $7, $8, true FROM environment e
        WHERE e.organization_id = $1 AND e.name = $2 AND e.deleted_at IS NULL
          AND NOT EXISTS (SELECT 1 FROM flavor f WHERE f.region_id = e.region_id AND f.name = $3)
       ON CONFLICT (region_id, name) DO NOTHING`,
      [organizationId, environment, name, cpu, ramMib, disk, gpu || '', gpu_count ?? 0],
    );
    return name;
  }
}
