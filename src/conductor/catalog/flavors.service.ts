/**
 * Reads the flavors and says, from the fleet as it is, which of them could be had now. That is a hint: it claims
 * nothing, and by the time a VM is asked for, the room may be taken.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import { flavorFields, type FlavorGroup, type FlavorRow } from './flavor.responses.js';
import { knownRegion } from './region-filter.js';

/** The same conditions as the filters of `scheduling/`, for one VM. */
const STOCK_AVAILABLE = `EXISTS (
  SELECT 1
    FROM compute_node n
    JOIN compute_node_heartbeat h ON h.compute_node_id = n.id
   WHERE n.region_id = f.region_id
     AND NOT n.draining
     AND h.beat_at > now() - make_interval(secs => $2)
     AND n.vcpus_total - n.vcpus_used >= f.cpu
     AND n.memory_mib_total - n.memory_mib_used >= f.ram_mib
     AND n.disk_gib_total - n.disk_gib_used >= f.disk
     AND (f.gpu_count = 0 OR EXISTS (
           SELECT 1 FROM compute_node_gpu g
            WHERE g.compute_node_id = n.id AND g.model = f.gpu AND g.total - g.used >= f.gpu_count)))`;

@Injectable()
export class FlavorsService {
  constructor(
    private readonly dataSource: DataSource,
    @InjectConfig() private readonly config: Config,
  ) {}

  /** One group for each GPU model of each region; within it, the smallest flavor first. */
  async list(regionName: string | undefined): Promise<FlavorGroup[]> {
    const region = await knownRegion(this.dataSource, regionName);
    const rows = await this.dataSource.query<FlavorRow[]>(
      `SELECT f.id, f.name, f.display_name, f.cpu, f.ram_mib, f.disk, f.gpu, f.gpu_count, f.created_at,
              r.name AS region_name, ${STOCK_AVAILABLE} AS stock_available
         FROM flavor f JOIN region r ON r.id = f.region_id
        WHERE NOT f.custom AND ($1::text IS NULL OR r.name = $1)
        ORDER BY r.name, f.gpu, f.gpu_count, f.cpu, f.ram_mib, f.id`,
      [region ?? null, this.config.nodeLeaseSeconds],
    );
    const groups = new Map<string, FlavorGroup>();
    for (const row of rows) {
      const key = JSON.stringify([row.region_name, row.gpu]);
      const group = groups.get(key) ?? { gpu: row.gpu, region_name: row.region_name, flavors: [] };
      groups.set(key, group);
      group.flavors.push(flavorFields(row));
    }
    return [...groups.values()];
  }
}
