/**
 * What must always be true, each with a query that finds where it is not. `fsck` asks them all in one snapshot of the
 * database, so that work under way is never mistaken for damage.
 */
export interface Invariant {
  /** In kebab case: the name by which an operator finds it in the documentation. */
  readonly name: string;
  /** What is wrong where the query finds something, and what to do about it. */
  readonly advice: string;
  /** Rows of `subject` (what is affected) and `detail`. */
  readonly violations: string;
  /** Puts right what the query found, where that can be done without losing anything. */
  readonly repair?: string;
}

const CLAIM_SUMS = `
  SELECT n.id, coalesce(sum(i.vcpus), 0)::int AS vcpus, coalesce(sum(i.memory_mib), 0)::int AS memory_mib,
         coalesce(sum(i.disk_gib), 0)::int AS disk_gib
    FROM compute_node n LEFT JOIN incarnation i ON i.compute_node_id = n.id AND i.claimed
   GROUP BY n.id`;

const GPU_CLAIM_SUMS = `
  SELECT g.compute_node_id, g.model, coalesce(sum(i.gpu_count), 0)::int AS claimed
    FROM compute_node_gpu g
    LEFT JOIN incarnation i ON i.compute_node_id = g.compute_node_id AND i.gpu_model = g.model AND i.claimed
   GROUP BY g.compute_node_id, g.model`;

/** Seconds for which a node's inventory may lag behind the reports: a few heartbeats. */
const INVENTORY_LAG = 30;

export const INVARIANTS: readonly Invariant[] = [
  {
    name: 'claims-add-up',
    advice: 'What a node counts as used differs from the claims held on it. --repair counts anew.',
    violations: `
      SELECT 'node ' || n.name AS subject,
             format('counts %s vCPUs, %s MiB, %s GiB; claimed are %s, %s, %s', n.vcpus_used, n.memory_mib_used,
                    n.disk_gib_used, s.vcpus, s.memory_mib, s.disk_gib) AS detail
        FROM compute_node n JOIN (${CLAIM_SUMS}) s ON s.id = n.id
       WHERE (n.vcpus_used, n.memory_mib_used, n.disk_gib_used) <> (s.vcpus, s.memory_mib, s.disk_gib)`,
    repair: `
      UPDATE compute_node n SET vcpus_used = s.vcpus, memory_mib_used = s.memory_mib, disk_gib_used = s.disk_gib
        FROM (${CLAIM_SUMS}) s
       WHERE s.id = n.id AND (n.vcpus_used, n.memory_mib_used, n.disk_gib_used) <> (s.vcpus, s.memory_mib, s.disk_gib)`,
  },
  {
    name: 'gpu-claims-add-up',
    advice: 'What a node counts as used of a GPU model differs from the claims held on it. --repair counts anew.',
    violations: `
      SELECT format('node %s, %s', n.name, g.model) AS subject, format('counts %s; claimed are %s', g.used, s.claimed) AS detail
        FROM compute_node_gpu g JOIN (${GPU_CLAIM_SUMS}) s USING (compute_node_id, model)
        JOIN compute_node n ON n.id = g.compute_node_id
       WHERE g.used <> s.claimed`,
    repair: `
      UPDATE compute_node_gpu g SET used = s.claimed FROM (${GPU_CLAIM_SUMS}) s
       WHERE g.compute_node_id = s.compute_node_id AND g.model = s.model AND g.used <> s.claimed`,
  },
  {
    name: 'vm-has-a-place',
    advice: 'A VM is shown as living but has no incarnation on any node. Delete it; its disk is gone.',
    violations: `
      SELECT 'vm ' || vm.id AS subject, vm.status AS detail FROM virtual_machine vm
       WHERE vm.deleted_at IS NULL AND vm.status <> 'ERROR'
         AND NOT EXISTS (SELECT 1 FROM incarnation i WHERE i.virtual_machine_id = vm.id AND i.ended_at IS NULL)`,
  },
  {
    name: 'deleted-vm-holds-nothing',
    advice: 'A deleted VM still has an incarnation or an address. Report this as a defect, with its events.',
    violations: `
      SELECT 'vm ' || vm.id AS subject, format('incarnation %s, floating IP %s', i.id, f.address) AS detail
        FROM virtual_machine vm
        LEFT JOIN incarnation i ON i.virtual_machine_id = vm.id AND (i.ended_at IS NULL OR i.claimed)
        LEFT JOIN floating_ip f ON f.virtual_machine_id = vm.id
       WHERE vm.deleted_at IS NOT NULL AND (i.id IS NOT NULL OR f.id IS NOT NULL)`,
  },
  {
    name: 'vm-on-its-way-has-a-task',
    advice: 'A VM is on its way to another state, but nobody is asked to bring it there. --repair asks again.',
    violations: `
      SELECT 'vm ' || vm.id AS subject, vm.status || ' without an unfinished task' AS detail FROM virtual_machine vm
       WHERE vm.deleted_at IS NULL AND vm.status IN ('CREATING', 'BUILD', 'STARTING', 'STOPPING', 'REBOOTING', 'DELETING')
         AND NOT EXISTS (SELECT 1 FROM task t WHERE t.virtual_machine_id = vm.id AND t.state IN ('pending', 'published'))`,
    repair: `
      UPDATE task SET state = 'pending', available_at = now(), finished_at = NULL
       WHERE id IN (SELECT DISTINCT ON (vm.id) t.id FROM virtual_machine vm JOIN task t ON t.virtual_machine_id = vm.id
                     WHERE vm.deleted_at IS NULL AND vm.status IN ('CREATING', 'BUILD', 'STARTING', 'STOPPING', 'REBOOTING', 'DELETING')
                       AND NOT EXISTS (SELECT 1 FROM task u WHERE u.virtual_machine_id = vm.id AND u.state IN ('pending', 'published'))
                     ORDER BY vm.id, t.generation DESC, t.created_at DESC)`,
  },
  {
    name: 'task-is-moving',
    advice: 'A task has waited for ten minutes. Is the broker reachable, and the node up? See `admin tasks`.',
    violations: `
      SELECT 'task ' || t.id AS subject,
             format('%s for vm %s on %s, %s attempts: %s', t.state, t.virtual_machine_id, n.name, t.attempts, t.last_error) AS detail
        FROM task t JOIN compute_node n ON n.id = t.compute_node_id
       WHERE t.state IN ('pending', 'published') AND t.created_at < now() - interval '10 minutes'`,
  },
  {
    name: 'floating-ip-in-its-region',
    advice: 'A VM holds an address of another region. Delete the VM to release it.',
    violations: `
      SELECT 'floating IP ' || f.address AS subject, 'held by vm ' || vm.id AS detail
        FROM floating_ip f JOIN virtual_machine vm ON vm.id = f.virtual_machine_id
        JOIN environment e ON e.id = vm.environment_id WHERE e.region_id <> f.region_id`,
  },
  {
    name: 'vm-has-a-key',
    advice: 'A VM has no SSH key; its guest cannot be reached by SSH. Create it anew.',
    violations: `
      SELECT 'vm ' || vm.id AS subject, vm.name AS detail FROM virtual_machine vm
       WHERE vm.deleted_at IS NULL
         AND NOT EXISTS (SELECT 1 FROM virtual_machine_keypair k WHERE k.virtual_machine_id = vm.id)`,
  },
  {
    name: 'domain-belongs-to-a-vm',
    advice: 'A node runs a domain of ours that no VM accounts for. Restart its worker; if it stays, undefine it by hand.',
    violations: `
      SELECT format('node %s, domain %s', n.name, d."vmUuid") AS subject, 'incarnation ' || d."incarnationId" AS detail
        FROM compute_node_heartbeat h JOIN compute_node n ON n.id = h.compute_node_id
       CROSS JOIN jsonb_to_recordset(h.inventory) AS d("vmUuid" uuid, "incarnationId" int)
        LEFT JOIN incarnation i ON i.id = d."incarnationId" AND i.compute_node_id = n.id
       WHERE i.id IS NULL OR (i.ended_at < now() - interval '${INVENTORY_LAG} seconds' AND h.beat_at > i.ended_at + interval '${INVENTORY_LAG} seconds')`,
  },
  {
    name: 'running-vm-has-a-domain',
    advice: 'A VM is shown as running, but its node has no domain for it. Was it removed by hand? Delete the VM.',
    violations: `
      SELECT 'vm ' || vm.id AS subject, 'not on node ' || n.name AS detail
        FROM virtual_machine vm
        JOIN incarnation i ON i.virtual_machine_id = vm.id AND i.ended_at IS NULL
        JOIN compute_node n ON n.id = i.compute_node_id
        JOIN compute_node_heartbeat h ON h.compute_node_id = n.id
       WHERE vm.deleted_at IS NULL AND vm.status = 'ACTIVE'
         AND NOT EXISTS (SELECT 1 FROM task t WHERE t.virtual_machine_id = vm.id
                            AND coalesce(t.finished_at, now()) > h.beat_at - interval '${INVENTORY_LAG} seconds')
         AND NOT EXISTS (SELECT 1 FROM jsonb_to_recordset(h.inventory) AS d("incarnationId" int) WHERE d."incarnationId" = i.id)`,
  },
];
