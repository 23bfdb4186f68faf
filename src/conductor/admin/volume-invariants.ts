/** What must always be true of volumes and their attachments. */
import type { Invariant } from './invariants.js';

const STUCK = `a.status IN ('ATTACHING', 'DETACHING') AND vm.status <> 'ERROR'
         AND NOT EXISTS (SELECT 1 FROM task t WHERE t.virtual_machine_id = vm.id AND t.state IN ('pending', 'published'))`;

export const VOLUME_INVARIANTS: readonly Invariant[] = [
  {
    name: 'attachment-on-its-way-has-a-task',
    advice: 'A volume is on its way to or from a VM, but nobody is asked to bring it there. --repair asks again.',
    violations: `
      SELECT 'volume attachment ' || a.id AS subject, format('%s, vm %s, without an unfinished task', a.status, vm.id) AS detail
        FROM volume_attachment a JOIN virtual_machine vm ON vm.id = a.virtual_machine_id WHERE ${STUCK}`,
    repair: `
      UPDATE task SET state = 'pending', available_at = now(), finished_at = NULL
       WHERE id IN (SELECT DISTINCT ON (vm.id) t.id
                      FROM volume_attachment a JOIN virtual_machine vm ON vm.id = a.virtual_machine_id
                      JOIN task t ON t.virtual_machine_id = vm.id
                     WHERE ${STUCK} ORDER BY vm.id, t.generation DESC, t.created_at DESC)`,
  },
  {
    name: 'attachment-has-both-ends',
    advice: 'A volume counts as attached, but the VM is gone, or the volume is, or they are on different nodes. Report this as a defect.',
    violations: `
      SELECT 'volume attachment ' || a.id AS subject,
             format('%s, vm %s, volume %s on node %s', a.status, vm.id, v.id, v.compute_node_id) AS detail
        FROM volume_attachment a
        JOIN virtual_machine vm ON vm.id = a.virtual_machine_id
        JOIN volume v ON v.id = a.volume_id
        LEFT JOIN incarnation i ON i.virtual_machine_id = vm.id AND i.ended_at IS NULL
       WHERE a.status <> 'DETACHED'
         AND (vm.deleted_at IS NOT NULL OR v.removal_requested_at IS NOT NULL OR v.compute_node_id IS DISTINCT FROM i.compute_node_id)`,
  },
  {
    name: 'vm-is-told-of-its-volumes',
    advice: "The volumes in a VM's desired state are not those attached to it. Report this as a defect, with its events.",
    violations: `
      SELECT 'vm ' || vm.id AS subject, format('is told of %s; attached are %s', told.uuids, wanted.uuids) AS detail
        FROM virtual_machine vm
       CROSS JOIN LATERAL (SELECT coalesce(array_agg(t->>'uuid' ORDER BY t->>'uuid'), '{}') AS uuids
                             FROM (SELECT jsonb_array_elements(coalesce(vm.hardware->'volumes', '[]')) AS t
                                   UNION ALL SELECT vm.hardware->'rootVolume' WHERE vm.hardware ? 'rootVolume') AS all_told) AS told
       CROSS JOIN LATERAL (SELECT coalesce(array_agg(v.uuid::text ORDER BY v.uuid::text), '{}') AS uuids
                             FROM volume_attachment a JOIN volume v ON v.id = a.volume_id
                            WHERE a.virtual_machine_id = vm.id AND a.status IN ('ATTACHING', 'ATTACHED')) AS wanted
       WHERE vm.deleted_at IS NULL AND told.uuids <> wanted.uuids
         AND EXISTS (SELECT 1 FROM incarnation i WHERE i.virtual_machine_id = vm.id AND i.ended_at IS NULL)`,
  },
  {
    name: 'vm-knows-the-size-of-its-volumes',
    advice: "A volume has grown, but its VM's desired state has the old size. Report this as a defect, with its events.",
    violations: `
      SELECT 'volume ' || v.id AS subject, format('%s GiB, but vm %s is told %s', v.size_gib, vm.id, told->>'sizeGib') AS detail
        FROM volume_attachment a
        JOIN volume v ON v.id = a.volume_id
        JOIN virtual_machine vm ON vm.id = a.virtual_machine_id
       CROSS JOIN LATERAL (SELECT jsonb_array_elements(coalesce(vm.hardware->'volumes', '[]')) AS told
                           UNION ALL SELECT vm.hardware->'rootVolume' WHERE vm.hardware ? 'rootVolume') AS t
       WHERE a.status IN ('ATTACHING', 'ATTACHED') AND told->>'uuid' = v.uuid::text AND (told->>'sizeGib')::int <> v.size_gib`,
  },
];
