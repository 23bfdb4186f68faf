/** What a manifest means for a repository now: what it may not declare sorted out, the rest planned. Changes nothing. */
import { Injectable } from '@nestjs/common';
import type { CompiledManifest } from '../manifest/compile.js';
import { titleOf, type DeclaredResource, type ManifestProblem } from '../manifest/resource.js';
import { plan, type ActualResource, type Plan } from '../plan/plan.js';
import { ActualState, type Owner } from '../state/actual-state.js';
import { References } from '../state/references.js';
import type { SyncProblem } from '../gitops-sync.entity.js';

export interface Assessment {
  readonly plan: Plan;
  readonly declared: readonly DeclaredResource[];
  readonly present: readonly ActualResource[];
  /** Of the manifest and of the plan. */
  readonly problems: readonly SyncProblem[];
}

export interface AssessedRepository extends Owner {
  readonly environments: readonly string[];
  readonly prune: boolean;
  readonly pruneLimit: number;
}

@Injectable()
export class Assessments {
  constructor(
    private readonly actual: ActualState,
    private readonly references: References,
  ) {}

  async assess(repository: AssessedRepository, manifest: CompiledManifest, spent: number): Promise<Assessment> {
    const { allowed, refused } = within(repository.environments, manifest.resources);
    const actual = await this.actual.load(repository, allowed);
    const wrong = [...manifest.problems, ...refused];
    const pruning = { prune: repository.prune, limit: repository.pruneLimit, spent, complete: wrong.length === 0 };
    const possible = plan(allowed, actual, pruning);
    const impossible = await this.references.missing(repository, possible.actions, allowed);
    const planned = impossible.size === 0 ? possible : plan(allowed, actual, pruning, impossible);
    const problems = [
      ...wrong.map(({ file, line, field, message }) => ({ resource: '', file, line, field, message })),
      ...planned.problems.map(({ title, source, field, message }) => ({
        resource: title,
        file: source?.file ?? '',
        line: source?.line ?? null,
        field,
        message: `${title} ${message}`,
      })),
    ];
    const present = actual.filter((resource): resource is ActualResource => resource.owned);
    return { plan: planned, declared: allowed, present, problems };
  }
}

/** None named means all of the organization's. Profiles are the organization's as a whole. */
function within(environments: readonly string[], resources: readonly DeclaredResource[]) {
  const allowed: DeclaredResource[] = [];
  const refused: ManifestProblem[] = [];
  for (const resource of resources) {
    const environment = resource.kind === 'Environment' ? resource.name : resource.environment;
    if (environments.length === 0 || environments.includes(environment)) allowed.push(resource);
    else
      refused.push({
        ...resource.source,
        field: resource.kind === 'Environment' ? 'metadata.name' : 'metadata.environment',
        message: `${titleOf(resource)} is outside what this repository may manage: ${environments.join(', ')}`,
      });
  }
  return { allowed, refused };
}
