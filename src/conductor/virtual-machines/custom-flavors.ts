/**
 * Sizes made to measure: the `flavor` of a request to create or resize. Each becomes a row of its own beside the offered
 * flavors, named by what it is, so that everything that knows flavors knows it too; requests for the same size share it.
 * It is in no list and cannot be asked for by name.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import type { OrganizationId, RegionId } from '../../protocol/ids.js';
import { ApiError, badRequest } from '../http/api-error.js';
import type { FlavorObjectFields } from './size.request.js';

const MIB_PER_GB = 1024;

export interface CustomFlavor {
  readonly name: string;
  readonly vcpus: number;
  readonly memoryMib: number;
  readonly diskGib: number;
  /** Empty without one. */
  readonly gpu: string;
  readonly gpuCount: number;
}

const insertInto = (region: string): string => `
  INSERT INTO flavor (region_id, name, cpu, ram_mib, disk, gpu, gpu_count, custom)
  SELECT region.id, $1, $2, $3, $4, $5, $6, true FROM (${region}) AS region
   WHERE NOT EXISTS (SELECT 1 FROM flavor f WHERE f.region_id = region.id AND f.name = $1)
  ON CONFLICT (region_id, name) DO NOTHING`;

const INSERT_INTO_REGION = insertInto('SELECT $7::int AS id');
const INSERT_INTO_REGION_OF_ENVIRONMENT = insertInto(
  'SELECT region_id AS id FROM environment WHERE organization_id = $7 AND name = $8 AND deleted_at IS NULL',
);

const columns = ({ name, vcpus, memoryMib, diskGib, gpu, gpuCount }: CustomFlavor) => [name, vcpus, memoryMib, diskGib, gpu, gpuCount];

@Injectable()
export class CustomFlavors {
  constructor(
    private readonly dataSource: DataSource,
    @InjectConfig() private readonly config: Config,
  ) {}

  /** @throws ApiError 403 where the operator does not offer sizes made to measure, 400 for half a wish for GPUs. */
  measure({ cpu, ram, disk, gpu, gpu_count }: FlavorObjectFields): CustomFlavor {
    if (!this.config.customFlavors)
      throw new ApiError(403, 'Sizes made to measure are not offered here. Name a flavor in flavor_name; GET /v1/core/flavors lists them.');
    if ((gpu_count ?? 0) > 0 !== Boolean(gpu)) throw badRequest('flavor: gpu and gpu_count must be given together.');
    const memoryMib = Math.round(ram * MIB_PER_GB);
    const name = `custom-${cpu}-${memoryMib}-${disk}${gpu ? `-${gpu}-${gpu_count}` : ''}`;
    return { name, vcpus: cpu, memoryMib, diskGib: disk, gpu: gpu || '', gpuCount: gpu_count ?? 0 };
  }

  /** @returns the name of the flavor, which is there when the environment is. @throws ApiError as `measure` does. */
  async ensure(organizationId: OrganizationId, environment: string, size: FlavorObjectFields): Promise<string> {
    const flavor = this.measure(size);
    await this.dataSource.query(INSERT_INTO_REGION_OF_ENVIRONMENT, [...columns(flavor), organizationId, environment]);
    return flavor.name;
  }
}

export async function ensureCustomFlavor(transaction: EntityManager, regionId: RegionId, flavor: CustomFlavor): Promise<void> {
  await transaction.query(INSERT_INTO_REGION, [...columns(flavor), regionId]);
}
