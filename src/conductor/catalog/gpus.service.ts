/**
 * What GPUs there are: the models that flavors offer, and how many of them the fleet has free. Reads only; a free GPU
 * is a hint and no promise, as whoever asks first for a VM gets it.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import { gpuFields, type GpuFields, type GpuRow } from './gpu.responses.js';
import { CONFIGURATIONS, regionStocks, type RegionStock, type StockRow } from './stock.responses.js';

/** A VM's GPUs are all on one node: what is over on each is lost to the larger configurations. */
const CONFIGURATION_COUNTS = CONFIGURATIONS.map(
  (configuration) => `coalesce(sum(s.free / ${parseInt(configuration)}), 0)::int AS "${configuration}"`,
).join(', ');

const STOCKS = `
  WITH model AS (
    SELECT region_id, gpu AS name FROM flavor WHERE gpu <> '' AND NOT custom
    UNION
    SELECT n.region_id, g.model FROM compute_node_gpu g JOIN compute_node n ON n.id = g.compute_node_id
  ), stock AS (
    SELECT n.region_id, g.model, g.total - g.used AS free
      FROM compute_node_gpu g
      JOIN compute_node n ON n.id = g.compute_node_id
      JOIN compute_node_heartbeat h ON h.compute_node_id = n.id
     WHERE NOT n.draining AND h.beat_at > now() - make_interval(secs => $1)
  )
  SELECT r.name AS region, m.name AS model, coalesce(sum(s.free), 0)::int AS available, ${CONFIGURATION_COUNTS}
    FROM region r
    LEFT JOIN model m ON m.region_id = r.id
    LEFT JOIN stock s ON s.region_id = r.id AND s.model = m.name
   GROUP BY r.id, r.name, m.name
   ORDER BY r.id, m.name`;

const GPUS = `
  SELECT min(f.id) AS id, f.gpu AS name, min(f.created_at) AS created_at, max(f.created_at) AS updated_at,
         (SELECT json_agg(json_build_object('id', r.id, 'name', r.name) ORDER BY r.id) FROM region r
           WHERE EXISTS (SELECT 1 FROM flavor o WHERE o.region_id = r.id AND o.gpu = f.gpu AND NOT o.custom)) AS regions
    FROM flavor f WHERE f.gpu <> '' AND NOT f.custom
   GROUP BY f.gpu ORDER BY f.gpu`;

@Injectable()
export class GpusService {
  constructor(
    private readonly dataSource: DataSource,
    @InjectConfig() private readonly config: Config,
  ) {}

  async stocks(): Promise<RegionStock[]> {
    return regionStocks(await this.dataSource.query<StockRow[]>(STOCKS, [this.config.nodeLeaseSeconds]));
  }

  async list(): Promise<GpuFields[]> {
    return (await this.dataSource.query<GpuRow[]>(GPUS)).map(gpuFields);
  }
}
