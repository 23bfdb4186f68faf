/** That what is held is counted, as what it is. See docs/decisions/0023. */
import type { Invariant } from './invariants.js';

/** Of what is settled; on its way from one state to another, a VM counts as what it was. */
const HELD = `
  SELECT 'virtual-machine' AS kind, vm.id AS resource_id, vm.name,
         CASE vm.status WHEN 'ACTIVE' THEN 'running' WHEN 'SHUTOFF' THEN 'stopped' ELSE 'hibernated' END AS state,
         f.name AS item, 1 AS amount
    FROM virtual_machine vm JOIN flavor f ON f.id = vm.flavor_id
   WHERE vm.deleted_at IS NULL AND vm.status IN ('ACTIVE', 'SHUTOFF', 'HIBERNATED')
  UNION ALL
  SELECT 'volume', id, name, 'held', volume_type, size_gib FROM volume WHERE removal_requested_at IS NULL AND deleted_at IS NULL
  UNION ALL
  SELECT 'floating-ip', virtual_machine_id, address, 'held', '', 1 FROM floating_ip WHERE virtual_machine_id IS NOT NULL`;

export const USAGE_INVARIANTS: readonly Invariant[] = [
  {
    name: 'usage-counts-what-is-held',
    advice: 'Usage is counted by triggers; find out who changed the tables without them. The hours until now are lost.',
    violations: `
      SELECT held.kind || ' ' || held.name AS subject, 'is ' || held.state || ' with ' || held.item || ', counted as ' || coalesce(u.state || ' with ' || u.item, 'nothing') AS detail
        FROM (${HELD}) held
        LEFT JOIN usage_period u ON u.kind = held.kind AND u.resource_id = held.resource_id AND u.ended_at IS NULL
       WHERE (u.state, u.item, u.amount) IS DISTINCT FROM (held.state, held.item, held.amount)`,
  },
  {
    name: 'usage-ends-with-what-is-held',
    advice: 'Somebody is charged for what is gone. Repair ends the period when the thing was deleted.',
    violations: `
      SELECT u.kind || ' ' || u.resource_id AS subject, 'is gone and still counted' AS detail
        FROM usage_period u
        LEFT JOIN virtual_machine vm ON vm.id = u.resource_id AND u.kind <> 'volume'
        LEFT JOIN volume v ON v.id = u.resource_id AND u.kind = 'volume'
       WHERE u.ended_at IS NULL AND coalesce(vm.deleted_at, v.deleted_at) IS NOT NULL`,
    repair: `
      UPDATE usage_period u SET ended_at = greatest(u.started_at, gone.deleted_at)
        FROM (SELECT 'virtual-machine' AS kind, id, deleted_at FROM virtual_machine UNION ALL
              SELECT 'floating-ip', id, deleted_at FROM virtual_machine UNION ALL SELECT 'volume', id, deleted_at FROM volume) gone
       WHERE u.kind = gone.kind AND u.resource_id = gone.id AND u.ended_at IS NULL AND gone.deleted_at IS NOT NULL`,
  },
];
