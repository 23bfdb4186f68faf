/**
 * One pass over one repository: fetch what is new, see what is, plan, do what can be done now. Nothing is remembered
 * between passes but what is in the database, so that going on, trying again and taking over after a crash are the same
 * thing: a pass.
 *
 * A sync is open from the first pass for a commit until a pass finds nothing left to do or wait for, or nothing that
 * could still be done.
 */
import { Injectable, Logger } from '@nestjs/common';
import type { GitCommit } from '../git/git-fetcher.js';
import type { SyncTrigger } from '../git-repository.entity.js';
import type { SyncAction } from '../gitops-sync.entity.js';
import { describe, Execution, isUnderWay, onItsWay, ON_ITS_WAY } from '../execute/execution.js';
import { titleOf } from '../manifest/resource.js';
import { Ownership } from '../state/ownership.js';
import { Assessments, type Assessment } from './assessment.js';
import { DesiredState } from './desired-state.js';
import type { LeasedRepository } from './leases.js';
import { Syncs, type Sync } from './syncs.js';

/** How soon a machine that is on its way is looked at again, in milliseconds; longer with each second it takes. */
const SOONEST_MS = 100;
const LATEST_MS = 2_000;
/** Of a sync; each machine that it replaces brings as much again. What is not done by then is told, and tried again like all that failed. */
const DEADLINE_MS = 30 * 60_000;
/** Before the first retry of what failed; doubled each time, up to the poll interval. */
const RETRY_MS = 15_000;

@Injectable()
export class Reconciler {
  private readonly logger = new Logger(Reconciler.name);

  constructor(
    private readonly desired: DesiredState,
    private readonly assessments: Assessments,
    private readonly ownership: Ownership,
    private readonly execution: Execution,
    private readonly syncs: Syncs,
  ) {}

  /** @returns in how many milliseconds the next one is due. */
  async pass(repository: LeasedRepository, aborted: () => Promise<boolean>): Promise<number> {
    const pollMs = repository.pollSeconds * 1_000;
    const last = await this.syncs.latest(repository.id);
    const snapshot = await this.desired.current(repository, last?.state === 'running');
    if (await aborted()) return 0;
    if (snapshot === undefined) return pollMs;
    const { commit, manifest } = snapshot;
    await this.ownership.adopt(repository);
    const running = last?.state === 'running' && last.commit === commit.id ? last : undefined;
    const assessment = await this.assessments.assess(repository, manifest, running?.destroyed ?? 0);
    const trigger = triggerOf(repository, last, commit, assessment);
    if (repository.mode === 'plan') {
      if (trigger !== undefined && trigger !== 'drift') await this.recordPlan(repository, trigger, commit, assessment);
      else if (last !== undefined) await this.noteDrift(repository, commit, assessment);
      return pollMs;
    }
    if (trigger === 'drift') await this.noteDrift(repository, commit, assessment);
    if (trigger === 'drift' && (repository.driftPolicy === 'report' || assessment.plan.actions.length === 0)) return pollMs;
    const sync = running ?? (await this.openFor(repository, trigger, last, commit, assessment));
    if (sync === undefined) {
      if (repository.drift !== null && isClean(assessment)) await this.syncs.noteDrift(repository, commit, null);
      return last?.state === 'failed' ? retryMs(last, pollMs) : pollMs;
    }
    return await this.carryOn(repository, sync, commit, assessment, aborted);
  }

  private async openFor(
    repository: LeasedRepository,
    trigger: SyncTrigger | undefined,
    last: Sync | undefined,
    commit: GitCommit,
    assessment: Assessment,
  ): Promise<Sync | undefined> {
    if (trigger !== undefined) {
      const sync = await this.syncs.open(repository, trigger, commit);
      await this.ownership.record(repository, assessment.declared, assessment.present, commit.id);
      return sync;
    }
    // What failed is tried again; what has come right by itself meanwhile has succeeded.
    if (last?.state !== 'failed' || (assessment.plan.actions.length === 0 && assessment.problems.length > 0)) return undefined;
    await this.syncs.reopen(repository, last);
    return last;
  }

  private async carryOn(repository: LeasedRepository, sync: Sync, commit: GitCommit, assessment: Assessment, aborted: () => Promise<boolean>): Promise<number> {
    const { plan, problems } = assessment;
    const { actions, destroyed } = await this.carryOut(repository, sync, commit, assessment, aborted);
    const waiting = plan.settling.map(onItsWay);
    const progress = { actions: merged(sync.actions, [...actions, ...waiting]), problems, destroyed: sync.destroyed + destroyed };
    const age = Date.now() - sync.startedAt.getTime();
    const underWay = [...actions, ...waiting].some(isUnderWay);
    if (await aborted()) {
      await this.syncs.save(repository, sync, progress);
      return 0;
    }
    if (underWay && age < DEADLINE_MS * (1 + progress.destroyed)) {
      await this.syncs.save(repository, sync, progress);
      return actions.some(({ result }) => result === 'done') ? 0 : Math.min(LATEST_MS, SOONEST_MS + age / 10);
    }
    await this.ownership.record(repository, assessment.declared, assessment.present, commit.id);
    const failed = problems.length > 0 || underWay || actions.length > 0;
    await this.syncs.finish(repository, sync, commit, failed ? 'failed' : 'succeeded', progress);
    const pollMs = repository.pollSeconds * 1_000;
    return failed ? retryMs(sync, pollMs) : pollMs;
  }

  private async carryOut(repository: LeasedRepository, sync: Sync, commit: GitCommit, { plan }: Assessment, aborted: () => Promise<boolean>) {
    if (repository.granted !== null)
      return await this.execution.run(plan, { owner: repository, granted: repository.granted, commit: commit.id, aborted });
    this.logger.warn(`Repository ${repository.id} has no service account any more (sync ${sync.id}).`);
    const message = 'The service account of this repository was removed from the organization. Remove the repository and add it anew.';
    return { actions: plan.actions.map((action): SyncAction => ({ ...describe(action), result: 'failed', message })), destroyed: 0 };
  }

  private async recordPlan(repository: LeasedRepository, trigger: SyncTrigger, commit: GitCommit, { plan, problems }: Assessment): Promise<void> {
    const actions = plan.actions.map((action): SyncAction => ({ ...describe(action), result: 'planned', message: '' }));
    await this.syncs.recordPlan(repository, trigger, commit, { actions, problems, destroyed: 0 });
  }

  private async noteDrift(repository: LeasedRepository, commit: GitCommit, assessment: Assessment): Promise<void> {
    const drift = driftOf(assessment);
    await this.syncs.noteDrift(repository, commit, drift.length === 0 ? null : drift);
  }
}

/** Why a new sync begins with this pass; nothing when none does. */
function triggerOf(repository: LeasedRepository, last: Sync | undefined, commit: GitCommit, assessment: Assessment): SyncTrigger | undefined {
  const { requested } = repository;
  if (last?.commit !== commit.id || last.state === 'superseded') return requested ?? 'poll';
  if (last.state === 'planned' && repository.mode === 'apply') return requested ?? 'poll';
  // A push that brought nothing new, to this branch, asks for nothing new.
  if (requested !== null && requested !== 'push' && requested !== 'poll' && last.state !== 'running') return requested;
  const settled = last.state === 'succeeded' || last.state === 'planned';
  return settled && driftOf(assessment).length > 0 ? 'drift' : undefined;
}

const isClean = ({ plan, problems }: Assessment): boolean => plan.actions.length === 0 && problems.length === 0 && plan.settling.length === 0;

/** In words, one for each resource. */
const driftOf = ({ plan, problems }: Assessment): string[] => [
  ...plan.actions.map(({ verb, identity, changes }) =>
    verb === 'create' ? `${titleOf(identity)} is missing` : `${titleOf(identity)} differs${changes.length === 0 ? '' : ` in ${changes.map(({ field }) => field).join(', ')}`}`,
  ),
  ...problems.map(({ message }) => message),
];

const retryMs = ({ failures }: Sync, pollMs: number): number => Math.min(Math.max(pollMs, RETRY_MS), RETRY_MS * 2 ** Math.min(failures, 10));

/** In the order in which they were first planned. What the latest pass says counts; what is waited for no more has come. */
function merged(before: readonly SyncAction[], now: readonly SyncAction[]): SyncAction[] {
  const nameOf = ({ verb, resource }: SyncAction): string => `${verb} ${resource}`;
  const current = new Map(now.map((action) => [nameOf(action), action]));
  const known = new Set(before.map(nameOf));
  const carriedOn = before.flatMap((action): SyncAction[] => {
    const latest = current.get(nameOf(action));
    if (latest !== undefined) return [latest];
    if (action.result !== 'waiting') return [action];
    return action.message === ON_ITS_WAY ? [] : [{ ...action, result: 'done', message: '' }];
  });
  return [...carriedOn, ...now.filter((action) => !known.has(nameOf(action)))];
}
