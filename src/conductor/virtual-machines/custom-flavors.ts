/**
 * Sizes made to measure: the `flavor` of a request to create or resize. Each becomes a row of its own beside the offered
 * flavors, named by what it is, so that everything that knows flavors knows it too; requests for the same size share it.
 * It is in no list and cannot be asked for by name.
 *
 * The row is written by the transaction that gives it to a VM, never before: what is refused, or only asked about,
 * leaves nothing behind.
 */
import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import type { RegionId } from '../../protocol/ids.js';
import { ApiError, badRequest } from '../http/api-error.js';
import type { FlavorObjectFields } from './size.request.js';
import type { FlavorFacts } from './vm-view.js';

const MIB_PER_GB = 1024;

/** A flavor that may have no row yet. */
export type CustomFlavor = Omit<FlavorFacts, 'id'>;

const FIND = 'SELECT id FROM flavor WHERE region_id = $1 AND name = $2 AND custom';

const INSERT = `
  INSERT INTO flavor (region_id, name, cpu, ram_mib, disk, gpu, gpu_count, custom) VALUES ($1, $2, $3, $4, $5, $6, $7, true)
  ON CONFLICT (region_id, name) DO NOTHING`;

@Injectable()
export class CustomFlavors {
  constructor(@InjectConfig() private readonly config: Config) {}

  /** @throws ApiError 403 where the operator does not offer sizes made to measure, 400 for half a wish for GPUs. */
  measure({ cpu, ram, disk, gpu, gpu_count }: FlavorObjectFields): CustomFlavor {
    if (!this.config.customFlavors)
      throw new ApiError(403, 'Sizes made to measure are not offered here. Name a flavor in flavor_name; GET /v1/core/flavors lists them.');
    if ((gpu_count ?? 0) > 0 !== Boolean(gpu)) throw badRequest('flavor: gpu and gpu_count must be given together.');
    const ramMib = Math.round(ram * MIB_PER_GB);
    const name = `custom-${cpu}-${ramMib}-${disk}${gpu ? `-${gpu}-${gpu_count}` : ''}`;
    return { name, cpu, ram_mib: ramMib, disk, gpu: gpu || '', gpu_count: gpu_count ?? 0 };
  }
}

/** @returns the id of its row, made where the region has none. @throws ApiError 400 where the operator offers a flavor of that name. */
export async function customFlavorId(transaction: EntityManager, regionId: RegionId, flavor: CustomFlavor): Promise<number> {
  const { name, cpu, ram_mib, disk, gpu, gpu_count } = flavor;
  const find = (): Promise<{ id: number }[]> => transaction.query(FIND, [regionId, name]);
  const [there] = await find();
  if (there !== undefined) return there.id;
  // Waits for whoever is making the same one, whose row the next look finds.
  await transaction.query(INSERT, [regionId, name, cpu, ram_mib, disk, gpu, gpu_count]);
  const [made] = await find();
  if (made === undefined) throw badRequest(`The flavor ${name} is offered under this name. Ask for it by flavor_name.`);
  return made.id;
}
