/**
 * What must always be true, each with a query that finds where it is not. `fsck` asks them all in one snapshot of the
 * database, so that work under way is never mistaken for damage.
 */
import { ENVIRONMENT_SUMS } from '../quotas/environment-quotas.js';
import { QUOTA_KIND_NAMES } from '../quotas/quota-refusal.js';
import { NETWORK_INVARIANTS } from './network-invariants.js';
import { SNAPSHOT_INVARIANTS } from './snapshot-invariants.js';
import { OVERDUE } from './unfinished-states.js';
import { USAGE_INVARIANTS } from './usage-invariants.js';
import { IMAGE_INVARIANTS } from './image-invariants.js';
import { GITOPS_INVARIANTS } from './gitops-invariants.js';
import { VOLUME_INVARIANTS } from './volume-invariants.js';

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

/** Of the node `n`: volumes keep their claim from the first attachment until their file is gone. */
const VOLUME_SIZES = `(SELECT coalesce(sum(v.size_gib), 0) FROM volume v WHERE v.compute_node_id = n.id AND v.deleted_at IS NULL)`;

/** Snapshots claim what their copy takes, on the node that has it. */
const SNAPSHOT_SIZES = `(SELECT coalesce(sum(s.claimed_gib), 0) FROM snapshot s WHERE s.compute_node_id = n.id)`;

const CLAIM_SUMS = `
  SELECT n.id, coalesce(sum(i.vcpus) FILTER (WHERE NOT i.hibernated), 0)::int AS vcpus,
         coalesce(sum(i.memory_mib) FILTER (WHERE NOT i.hibernated), 0)::int AS memory_mib,
         (coalesce(sum(i.disk_gib), 0) + ${VOLUME_SIZES} + ${SNAPSHOT_SIZES})::int AS disk_gib
    FROM compute_node n LEFT JOIN incarnation i ON i.compute_node_id = n.id AND i.claimed
   GROUP BY n.id`;

const GPU_CLAIM_SUMS = `
  SELECT g.compute_node_id, g.model, coalesce(sum(i.gpu_count), 0)::int AS claimed
    FROM compute_node_gpu g
    LEFT JOIN incarnation i ON i.compute_node_id = g.compute_node_id AND i.gpu_model = g.model
     AND i.claimed AND NOT i.hibernated
   GROUP BY g.compute_node_id, g.model`;

/** As a list of SQL. */
const ON_THEIR_WAY = "'CREATING', 'BUILD', 'STARTING', 'STOPPING', 'REBOOTING', 'HIBERNATING', 'RESTORING', 'RESIZING', 'DELETING'";

/** Its conductor looks for another node, and will write the task. */
const NOT_BETWEEN_NODES = `(vm.observed <> 'undone' OR vm.desired_power = 'absent')`;

const QUOTA_SUMS = `
  SELECT o.id AS organization_id, count(i.id)::int AS vms,
         coalesce(sum(i.vcpus) FILTER (WHERE NOT i.hibernated), 0)::int AS vcpus,
         coalesce(sum(i.memory_mib) FILTER (WHERE NOT i.hibernated), 0)::int AS memory_mib,
         coalesce(sum(i.disk_gib), 0)::int AS disk_gib,
         coalesce(sum(i.gpu_count) FILTER (WHERE NOT i.hibernated), 0)::int AS gpus,
         (SELECT count(*)::int FROM volume v WHERE v.organization_id = o.id AND v.deleted_at IS NULL) AS volumes,
         (SELECT coalesce(sum(v.size_gib), 0)::int FROM volume v WHERE v.organization_id = o.id AND v.deleted_at IS NULL) AS volume_gib,
         (SELECT count(*)::int FROM floating_ip f JOIN virtual_machine h ON h.id = f.virtual_machine_id
           WHERE h.organization_id = o.id) AS floating_ips,
         (SELECT count(*)::int FROM snapshot s WHERE s.organization_id = o.id AND s.deleted_at IS NULL) AS snapshots,
         (SELECT coalesce(sum(s.claimed_gib), 0)::int FROM snapshot s WHERE s.organization_id = o.id AND s.deleted_at IS NULL) AS snapshot_gib
    FROM organization o LEFT JOIN virtual_machine vm ON vm.organization_id = o.id
    LEFT JOIN incarnation i ON i.virtual_machine_id = vm.id AND i.claimed
   GROUP BY o.id`;

/** What a quota counts and what there is, by the names of its kinds. */
const QUOTA_COUNTED = QUOTA_KIND_NAMES.map((kind) => `q.${kind}_used`).join(', ');
const QUOTA_THERE = QUOTA_KIND_NAMES.map((kind) => `s.${kind}`).join(', ');

const UPDATE_WITHOUT_TASK = `
  vm.deleted_at IS NULL AND vm.operation = 'update' AND vm.observed_generation < vm.generation
  AND EXISTS (SELECT 1 FROM incarnation i WHERE i.virtual_machine_id = vm.id AND i.ended_at IS NULL)
  AND NOT EXISTS (SELECT 1 FROM task u WHERE u.virtual_machine_id = vm.id AND u.state IN ('pending', 'published'))`;

const DETACHED_BUT_HELD = `
  f.detaching AND f.changed_for = vm.id AND f.changed_generation <= vm.observed_generation AND vm.observed IN ('running', 'stopped', 'hibernated')`;

/** Seconds for which a node's inventory may lag behind the reports: a few heartbeats. */
const INVENTORY_LAG = 30;

export const INVARIANTS: readonly Invariant[] = [
  {
    name: 'nothing-is-overdue',
    advice: 'Somebody should have brought it on by now: it is said whom it waits for, and what for. `admin overdue` lists the same.',
    violations: `
      SELECT o.subject, format('%s, due at %s; waits for %s: %s', o.state, o.due, o.owner, o.next) AS detail FROM (${OVERDUE}) o`,
  },
  ...IMAGE_INVARIANTS,
  ...VOLUME_INVARIANTS,
  ...NETWORK_INVARIANTS,
  ...SNAPSHOT_INVARIANTS,
  ...GITOPS_INVARIANTS,
  ...USAGE_INVARIANTS,
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
    name: 'quota-usage-adds-up',
    advice: 'What an organization counts as used differs from what its VMs claim, its volumes, its snapshots and its floating IPs. --repair counts anew.',
    violations: `
      SELECT 'organization ' || o.name AS subject,
             format('of (${QUOTA_KIND_NAMES.join(', ')}) counts %s; there are %s', (${QUOTA_COUNTED}), (${QUOTA_THERE})) AS detail
        FROM organization_quota q JOIN (${QUOTA_SUMS}) s USING (organization_id) JOIN organization o ON o.id = q.organization_id
       WHERE (${QUOTA_COUNTED}) <> (${QUOTA_THERE})`,
    repair: `
      UPDATE organization_quota q SET ${QUOTA_KIND_NAMES.map((kind) => `${kind}_used = s.${kind}`).join(', ')}
        FROM (${QUOTA_SUMS}) s
       WHERE s.organization_id = q.organization_id AND (${QUOTA_COUNTED}) <> (${QUOTA_THERE})`,
  },
  {
    name: 'environment-quota-usage-adds-up',
    advice: 'What an environment with limits counts as used differs from what is in it. --repair counts anew.',
    violations: `
      SELECT format('environment %s of %s', e.name, o.name) AS subject,
             format('of (${QUOTA_KIND_NAMES.join(', ')}) counts %s; there are %s', (${QUOTA_COUNTED}), (${QUOTA_THERE})) AS detail
        FROM environment_quota q JOIN (${ENVIRONMENT_SUMS}) s USING (environment_id)
        JOIN environment e ON e.id = q.environment_id JOIN organization o ON o.id = e.organization_id
       WHERE (${QUOTA_COUNTED}) <> (${QUOTA_THERE})`,
    repair: `
      UPDATE environment_quota q SET ${QUOTA_KIND_NAMES.map((kind) => `${kind}_used = s.${kind}`).join(', ')}
        FROM (${ENVIRONMENT_SUMS}) s
       WHERE s.environment_id = q.environment_id AND (${QUOTA_COUNTED}) <> (${QUOTA_THERE})`,
  },
  {
    name: 'organization-has-an-owner',
    advice: 'Nobody can give anybody a role there. Name an owner with `admin member --owner`.',
    violations: `
      SELECT 'organization ' || o.name AS subject, 'has members, but no owner' AS detail FROM organization o
       WHERE EXISTS (SELECT 1 FROM membership m WHERE m.organization_id = o.id)
         AND NOT EXISTS (SELECT 1 FROM membership m WHERE m.organization_id = o.id AND m.role = 'owner')`,
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
       WHERE vm.deleted_at IS NULL AND vm.status IN (${ON_THEIR_WAY}) AND ${NOT_BETWEEN_NODES}
         AND NOT EXISTS (SELECT 1 FROM task t WHERE t.virtual_machine_id = vm.id AND t.state IN ('pending', 'published'))`,
    repair: `
      UPDATE task SET state = 'pending', available_at = now(), finished_at = NULL
       WHERE id IN (SELECT DISTINCT ON (vm.id) t.id FROM virtual_machine vm JOIN task t ON t.virtual_machine_id = vm.id
                     WHERE vm.deleted_at IS NULL AND vm.status IN (${ON_THEIR_WAY}) AND ${NOT_BETWEEN_NODES}
                       AND NOT EXISTS (SELECT 1 FROM task u WHERE u.virtual_machine_id = vm.id AND u.state IN ('pending', 'published'))
                     ORDER BY vm.id, t.generation DESC, t.created_at DESC)`,
  },
  {
    name: 'undone-vm-is-tried-elsewhere',
    advice: 'A VM failed to start on its node and has waited for a minute to be tried on another. Does a conductor run? See its log.',
    violations: `
      SELECT 'vm ' || vm.id AS subject, format('failed on node %s: %s', n.name, i.failure) AS detail
        FROM virtual_machine vm
        JOIN incarnation i ON i.virtual_machine_id = vm.id AND i.ended_at IS NULL
        JOIN compute_node n ON n.id = i.compute_node_id
       WHERE vm.observed = 'undone' AND vm.desired_power <> 'absent'
         AND NOT EXISTS (SELECT 1 FROM task t WHERE t.virtual_machine_id = vm.id
                            AND coalesce(t.finished_at, now()) > now() - interval '1 minute')`,
  },
  {
    name: 'vm-runs-once',
    advice: 'Two nodes that are up both run a domain of one VM. Destroy the domain on the node that is not its place, and report this as a defect.',
    violations: `
      SELECT 'vm ' || vm.id AS subject, 'runs on nodes ' || string_agg(n.name, ', ' ORDER BY n.name) AS detail
        FROM compute_node_heartbeat h
        JOIN compute_node n ON n.id = h.compute_node_id AND h.beat_at > now() - make_interval(secs => n.lease_seconds)
       CROSS JOIN jsonb_to_recordset(h.inventory) AS d("vmUuid" uuid, state text)
        JOIN virtual_machine vm ON vm.uuid = d."vmUuid"
       WHERE d.state = 'running' GROUP BY vm.id HAVING count(*) > 1`,
  },
  {
    name: 'what-was-left-behind-is-removed',
    advice: 'A node that is up again still has what is left of a VM that was started elsewhere. Restart its worker.',
    violations: `
      SELECT 'vm ' || i.virtual_machine_id AS subject, format('incarnation %s on node %s', i.id, n.name) AS detail
        FROM incarnation i
        JOIN compute_node n ON n.id = i.compute_node_id
        JOIN compute_node_heartbeat h ON h.compute_node_id = n.id
       WHERE i.left_behind AND i.ended_at < now() - interval '10 minutes' AND h.beat_at > now() - make_interval(secs => n.lease_seconds)`,
  },
  {
    name: 'live-incarnation-has-its-claim',
    advice: 'A VM has a place on a node without a claim there, so that the node may be sold twice. Report this as a defect, with its events.',
    violations: `
      SELECT 'vm ' || i.virtual_machine_id AS subject, format('incarnation %s on node %s', i.id, n.name) AS detail
        FROM incarnation i JOIN compute_node n ON n.id = i.compute_node_id WHERE i.ended_at IS NULL AND NOT i.claimed`,
  },
  {
    name: 'hibernated-vm-holds-its-disk-alone',
    advice:
      'A hibernated VM still claims CPU, memory, GPUs or a floating IP that it gave up; or one runs without a claim, because somebody started it on its node: then hibernate it again.',
    violations: `
      SELECT 'vm ' || vm.id AS subject,
             format('%s; incarnation %s %s; floating IP %s', vm.status, i.id,
                    CASE WHEN i.hibernated THEN 'claims its disk' ELSE 'claims all' END, f.address) AS detail
        FROM virtual_machine vm
        JOIN incarnation i ON i.virtual_machine_id = vm.id AND i.ended_at IS NULL
        LEFT JOIN floating_ip f ON f.virtual_machine_id = vm.id AND vm.awaits_floating_ip
       WHERE (vm.status = 'HIBERNATED' AND (NOT i.hibernated OR f.id IS NOT NULL))
          OR (i.hibernated AND vm.status IN ('ACTIVE', 'STARTING', 'REBOOTING', 'RESTORING', 'RESIZING'))`,
  },
  {
    name: 'hardware-is-what-is-claimed',
    advice: 'A VM claims something else than it is made of. Report this as a defect, with its events.',
    violations: `
      SELECT 'vm ' || vm.id AS subject,
             format('%s vCPUs, %s MiB, %s GiB, %s x %s, but %s', i.vcpus, i.memory_mib, i.disk_gib, i.gpu_count, i.gpu_model,
                    vm.hardware - 'image') AS detail
        FROM virtual_machine vm
        JOIN incarnation i ON i.virtual_machine_id = vm.id AND i.ended_at IS NULL
       WHERE (i.vcpus, i.memory_mib, i.disk_gib, i.gpu_count)
          <> ((vm.hardware->>'vcpus')::int, (vm.hardware->>'memoryMib')::int, (vm.hardware->>'diskGib')::int,
              coalesce((vm.hardware->'gpu'->>'count')::int, 0))`,
  },
  {
    name: 'vm-update-has-a-task',
    advice: 'The network or a device of a VM was changed, but nobody is asked to carry it out. --repair asks again.',
    violations: `
      SELECT 'vm ' || vm.id AS subject, format('generation %s, observed %s', vm.generation, vm.observed_generation) AS detail
        FROM virtual_machine vm WHERE ${UPDATE_WITHOUT_TASK}`,
    repair: `
      UPDATE task SET state = 'pending', available_at = now(), finished_at = NULL
       WHERE id IN (SELECT DISTINCT ON (vm.id) t.id FROM virtual_machine vm JOIN task t ON t.virtual_machine_id = vm.id
                     WHERE ${UPDATE_WITHOUT_TASK} ORDER BY vm.id, t.generation DESC, t.created_at DESC)`,
  },
  {
    name: 'rules-are-what-nodes-were-told',
    advice: 'The security rules of a VM are not those that its node was told. Add or delete a rule of the VM, which tells it all of them.',
    violations: `
      SELECT 'vm ' || vm.id AS subject, format('%s rules told, %s in the tables', jsonb_array_length(vm.hardware->'rules'), told.count) AS detail
        FROM virtual_machine vm,
             LATERAL (SELECT count(*) FROM (
               SELECT DISTINCT s.direction, s.ethertype, s.protocol, s.remote_ip_prefix, s.port_range_min, s.port_range_max
                 FROM security_rule s
                WHERE s.virtual_machine_id = vm.id
                   OR s.firewall_id IN (SELECT a.firewall_id FROM firewall_attachment a WHERE a.virtual_machine_id = vm.id)) AS rule) AS told
       WHERE vm.deleted_at IS NULL AND vm.status <> 'DELETING' AND vm.hardware ? 'rules'
         AND jsonb_array_length(vm.hardware->'rules') <> told.count`,
  },
  {
    name: 'detached-floating-ip-comes-back',
    advice: 'A floating IP was detached and its node has confirmed it, but it is still held. --repair gives it back.',
    violations: `
      SELECT 'floating IP ' || f.address AS subject, 'held by vm ' || vm.id AS detail
        FROM floating_ip f JOIN virtual_machine vm ON vm.id = f.virtual_machine_id WHERE ${DETACHED_BUT_HELD}`,
    repair: `
      UPDATE floating_ip f SET virtual_machine_id = NULL FROM virtual_machine vm
       WHERE vm.id = f.virtual_machine_id AND ${DETACHED_BUT_HELD}`,
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
    advice: 'A node has a domain of ours that no VM accounts for. One of a former life is removed by itself; of one that this database does not know, decide yourself: see `admin drift`.',
    violations: `
      SELECT format('node %s, domain %s', n.name, d."vmUuid") AS subject, 'incarnation ' || d."incarnationId" AS detail
        FROM compute_node_heartbeat h JOIN compute_node n ON n.id = h.compute_node_id
       CROSS JOIN jsonb_to_recordset(h.inventory) AS d("vmUuid" uuid, "incarnationId" int)
        LEFT JOIN incarnation i ON i.id = d."incarnationId" AND i.compute_node_id = n.id
       WHERE i.id IS NULL OR (i.ended_at < now() - interval '${INVENTORY_LAG} seconds' AND h.beat_at > i.ended_at + interval '${INVENTORY_LAG} seconds')`,
  },
  {
    name: 'running-vm-has-a-domain',
    advice: 'A VM is shown as running, but its node has no domain for it. It is made anew on its disk within a minute: see `admin drift`.',
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
  {
    name: 'drift-is-acted-on',
    advice: 'Something on a node differs from what Baton knows, and for five minutes nothing was done about it. Does a conductor run? See its log and `admin drift`.',
    violations: `
      SELECT format('node %s, domain %s', n.name, d.domain_name) AS subject, format('%s since %s, %s', d.kind, d.since, d.outcome) AS detail
        FROM drift d JOIN compute_node n ON n.id = d.compute_node_id JOIN compute_node_heartbeat h ON h.compute_node_id = n.id
       WHERE d.ended_at IS NULL AND d.outcome IN ('seen', 'healing') AND greatest(d.since, d.acted_at) < now() - interval '5 minutes'
         AND NOT (n.draining AND n.drain_stops) AND h.beat_at > now() - make_interval(secs => n.lease_seconds)`,
  },
  {
    name: 'console-logs-are-forgotten',
    advice: 'Console logs are kept longer than promised. Does a conductor run? --repair deletes them.',
    violations: `
      SELECT 'log request ' || id AS subject, 'of vm ' || virtual_machine_id AS detail FROM console_log_request
       WHERE requested_at < now() - interval '20 minutes'`,
    repair: `DELETE FROM console_log_request WHERE requested_at < now() - interval '20 minutes'`,
  },
  {
    name: 'console-log-asked-of-its-node',
    advice: 'A console is asked of a node that never had the VM. --repair forgets the request; the owner may ask again.',
    violations: `
      SELECT 'log request ' || r.id AS subject, 'asked of node ' || r.compute_node_id AS detail
        FROM console_log_request r JOIN incarnation i ON i.id = r.incarnation_id
       WHERE (i.compute_node_id, i.virtual_machine_id) <> (r.compute_node_id, r.virtual_machine_id)`,
    repair: `
      DELETE FROM console_log_request r USING incarnation i
       WHERE i.id = r.incarnation_id
         AND (i.compute_node_id, i.virtual_machine_id) <> (r.compute_node_id, r.virtual_machine_id)`,
  },
  {
    name: 'console-has-an-end',
    advice: 'A console is past its deadline and nobody ends it. Does a conductor run? --repair ends it.',
    violations: `
      SELECT 'console ' || id AS subject, state || ' since ' || requested_at AS detail FROM console_session
       WHERE state <> 'ended' AND expires_at < now() - interval '1 minute'`,
    repair: `
      UPDATE console_session SET state = 'ended', ended_at = now(), ticket_hash = NULL, reason = 'It was past its deadline.'
       WHERE state <> 'ended' AND expires_at < now() - interval '1 minute'`,
  },
  {
    name: 'console-of-a-running-vm',
    advice: 'A console outlives the power of its virtual machine. --repair ends it; report this as a defect.',
    violations: `
      SELECT 'console ' || s.id AS subject, 'of vm ' || vm.id || ', which is ' || vm.status AS detail
        FROM console_session s JOIN virtual_machine vm ON vm.id = s.virtual_machine_id
       WHERE s.state <> 'ended' AND vm.status NOT IN ('ACTIVE', 'REBOOTING')`,
    repair: `
      UPDATE console_session s SET state = 'ended', ended_at = now(), ticket_hash = NULL, reason = 'The virtual machine does not run.'
        FROM virtual_machine vm
       WHERE vm.id = s.virtual_machine_id AND s.state <> 'ended' AND vm.status NOT IN ('ACTIVE', 'REBOOTING')`,
  },
];
