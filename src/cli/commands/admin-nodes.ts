import { formatTable } from '../table.js';
import type { Run } from './command.js';
import { print, withDatabase } from './database.js';

interface NodeRow {
  readonly name: string;
  readonly region: string;
  readonly up: boolean;
  readonly draining: boolean;
  readonly hypervisor: string;
  readonly acceleration: string;
  readonly vcpus: string;
  readonly memory: string;
  readonly disk: string;
  readonly gpus: string | null;
}

const NODES = `
  SELECT node.name, region.name AS region, node.draining, node.hypervisor, node.acceleration,
         coalesce(heartbeat.beat_at > now() - make_interval(secs => $1), false) AS up,
         vcpus_used || '/' || vcpus_total AS vcpus,
         memory_mib_used || '/' || memory_mib_total AS memory,
         disk_gib_used || '/' || disk_gib_total AS disk,
         (SELECT string_agg(model || ' ' || used || '/' || total, ', ' ORDER BY model)
            FROM compute_node_gpu WHERE compute_node_id = node.id) AS gpus
    FROM compute_node node
    JOIN region ON region.id = node.region_id
    LEFT JOIN compute_node_heartbeat heartbeat ON heartbeat.compute_node_id = node.id
   ORDER BY region.name, node.name`;

const HEADER = ['NAME', 'REGION', 'STATE', 'HYPERVISOR', 'VCPUS', 'MEMORY MIB', 'DISK GIB', 'GPUS'];

export const run: Run = async (invocation) => {
  const nodes = await withDatabase(invocation, (dataSource, { nodeLeaseSeconds }) =>
    dataSource.query<NodeRow[]>(NODES, [nodeLeaseSeconds]),
  );
  const rows = nodes.map((node) => [
    node.name,
    node.region,
    `${node.up ? 'up' : 'DOWN'}${node.draining ? ', draining' : ''}`,
    `${node.hypervisor} (${node.acceleration})`,
    node.vcpus,
    node.memory,
    node.disk,
    node.gpus,
  ]);
  print(formatTable(HEADER, rows));
};
