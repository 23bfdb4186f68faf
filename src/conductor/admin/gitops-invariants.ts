/** What must always be true of desired state. What was deleted by hand is no damage: the next pass notices. */
import type { Invariant } from './invariants.js';

export const GITOPS_INVARIANTS: readonly Invariant[] = [
  {
    name: 'git-owns-within-its-organization',
    advice: 'A repository owns what belongs to another organization. Report this as a defect; remove the row of gitops_ownership.',
    violations: `
      SELECT 'ownership ' || o.id AS subject, format('%s %s of repository %s', o.kind, o.name, o.git_repository_id) AS detail
        FROM gitops_ownership o
        JOIN git_repository g ON g.id = o.git_repository_id
        LEFT JOIN virtual_machine vm ON o.kind = 'VirtualMachine' AND vm.id = o.resource_id
        LEFT JOIN volume v ON o.kind = 'Volume' AND v.id = o.resource_id
        LEFT JOIN environment e ON o.kind = 'Environment' AND e.id = o.resource_id
       WHERE o.organization_id <> g.organization_id
          OR coalesce(vm.organization_id, v.organization_id, e.organization_id, o.organization_id) <> o.organization_id`,
  },
];
