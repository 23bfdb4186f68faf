/** What must always be true of snapshots, their files and what was made of them. */
import type { Invariant } from './invariants.js';

/** Seconds for which a node's inventory may lag behind: a few heartbeats. */
const INVENTORY_LAG = 30;

export const SNAPSHOT_INVARIANTS: readonly Invariant[] = [
  {
    name: 'vm-is-told-of-its-snapshot',
    advice: "A snapshot is being taken of a VM whose node was not told, or a VM's node is told of one that has ended. Report this as a defect.",
    violations: `
      SELECT 'vm ' || vm.id AS subject, format('is told of %s; being taken is %s', vm.hardware->'snapshot'->>'uuid', s.uuid) AS detail
        FROM virtual_machine vm LEFT JOIN snapshot s ON s.virtual_machine_id = vm.id AND s.state = 'CREATING'
       WHERE (vm.hardware->'snapshot'->>'uuid') IS DISTINCT FROM s.uuid::text`,
  },
  {
    name: 'snapshot-has-its-file',
    advice: 'A snapshot is shown as complete, but its node does not have the file. Was it removed by hand? Delete the snapshot.',
    violations: `
      SELECT 'snapshot ' || s.id AS subject, 'not on node ' || n.name AS detail
        FROM snapshot s
        JOIN compute_node n ON n.id = s.compute_node_id
        JOIN compute_node_heartbeat h ON h.compute_node_id = n.id
       WHERE s.state = 'SUCCESS' AND s.removal_requested_at IS NULL
         AND s.updated_at < h.beat_at - interval '${INVENTORY_LAG} seconds' AND NOT h.snapshots ? s.uuid::text`,
  },
  {
    name: 'snapshot-file-belongs-to-a-snapshot',
    advice: 'A node has the file of a snapshot that the database does not know. Was the database restored from a backup? Remove the file by hand.',
    violations: `
      SELECT format('node %s, snapshot %s', n.name, held.uuid) AS subject, 'is not in the database' AS detail
        FROM compute_node_heartbeat h JOIN compute_node n ON n.id = h.compute_node_id
       CROSS JOIN jsonb_array_elements_text(h.snapshots) AS held(uuid)
        LEFT JOIN snapshot s ON s.uuid = held.uuid::uuid AND s.compute_node_id = n.id
       WHERE s.id IS NULL`,
  },
  {
    name: 'image-has-its-snapshot',
    advice: 'An image is offered whose snapshot is gone. --repair deletes the image.',
    violations: `
      SELECT 'image ' || i.id AS subject, 'of snapshot ' || s.id AS detail FROM image i JOIN snapshot s ON s.id = i.snapshot_id
       WHERE i.deleted_at IS NULL AND s.removal_requested_at IS NOT NULL`,
    repair: `
      UPDATE image i SET deleted_at = now() FROM snapshot s
       WHERE s.id = i.snapshot_id AND i.deleted_at IS NULL AND s.removal_requested_at IS NOT NULL`,
  },
  {
    name: 'snapshot-event-is-of-its-vm',
    advice: 'An event tells of a snapshot and of a VM that are not of each other, or of another organization. Report this as a defect.',
    violations: `
      SELECT 'event ' || e.id AS subject, format('snapshot %s, vm %s', e.snapshot_id, e.virtual_machine_id) AS detail
        FROM event e JOIN snapshot s ON s.id = e.snapshot_id
       WHERE (e.organization_id, e.virtual_machine_id) IS DISTINCT FROM (s.organization_id, s.virtual_machine_id)`,
  },
];
