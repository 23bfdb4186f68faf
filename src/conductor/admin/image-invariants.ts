/** What must always be true of images that organizations bring. */
import type { Invariant } from './invariants.js';

const ON_ITS_WAY = `i.status IN ('awaiting-upload', 'queued', 'downloading') AND i.deleted_at IS NULL`;

export const IMAGE_INVARIANTS: readonly Invariant[] = [
  {
    name: 'image-on-its-way-has-a-deadline',
    advice: 'An image is not available, and nobody will end its waiting. Is a conductor running? If so, report this as a defect.',
    violations: `
      SELECT 'image ' || i.id AS subject, format('%s, deadline %s', i.status, coalesce(t.deadline_at::text, 'none')) AS detail
        FROM image i LEFT JOIN image_transfer t ON t.image_id = i.id
       WHERE ${ON_ITS_WAY} AND (t.deadline_at IS NULL OR t.deadline_at < now() - interval '2 minutes')`,
  },
  {
    name: 'image-download-has-a-node',
    advice: 'An image is shown as downloading, but no node has it in hand. Is a conductor running? --repair queues it again.',
    violations: `
      SELECT 'image ' || i.id AS subject, format('lease until %s', coalesce(t.lease_until::text, 'never')) AS detail
        FROM image i JOIN image_transfer t ON t.image_id = i.id
       WHERE i.status = 'downloading' AND i.deleted_at IS NULL
         AND (t.compute_node_id IS NULL OR t.lease_until IS NULL OR t.lease_until < now() - interval '2 minutes')`,
    repair: `
      UPDATE image i SET status = 'queued' FROM image_transfer t
       WHERE t.image_id = i.id AND i.status = 'downloading' AND i.deleted_at IS NULL
         AND (t.compute_node_id IS NULL OR t.lease_until IS NULL OR t.lease_until < now() - interval '2 minutes')`,
  },
  {
    name: 'image-in-use-was-available',
    advice: 'A VM is made of an image that never was available, or of one that belongs to another organization. Report this as a defect.',
    violations: `
      SELECT 'vm ' || vm.id AS subject, format('image %s, %s', i.id, i.status) AS detail
        FROM virtual_machine vm JOIN image i ON i.id = vm.image_id
       WHERE vm.deleted_at IS NULL AND (i.status <> 'available' OR i.organization_id <> vm.organization_id)`,
  },
];
