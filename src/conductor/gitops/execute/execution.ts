/**
 * Carries out the actions of one pass through the services behind the API, as the service account and with no more than
 * its permissions and the organization's quota. What can be done now is done; what has to wait for a machine waits for
 * a later pass, which plans anew: that is also how a pass that was broken off is resumed.
 *
 * What one action meets keeps no other, but those that come after it.
 */
import { Injectable, Logger } from '@nestjs/common';
import type { Permission } from '../../access/permissions.js';
import type { Origin } from '../../audit/origin.js';
import { ApiError } from '../../http/api-error.js';
import { toApiError } from '../../http/error-filter.js';
import { keyOf, titleOf, type Identity, type Kind, type ResourceKey } from '../manifest/resource.js';
import { destroys, type Action, type Plan } from '../plan/plan.js';
import { heldInWords, stoppedInWords, type Hold } from '../plan/rollout.js';
import type { LeasedOwner } from '../state/ownership.js';
import type { SyncAction } from '../gitops-sync.entity.js';
import { requiredPermissions } from './required-permissions.js';
import { ResourceActions } from './resource-actions.js';

export interface ExecutionContext {
  readonly owner: LeasedOwner;
  readonly granted: ReadonlySet<Permission>;
  readonly commit: string;
  /** The pass shall end: it lost its lease, its repository was paused, or the conductor stops. */
  readonly aborted: () => Promise<boolean>;
}

export interface ExecutionResult {
  readonly actions: readonly SyncAction[];
  /** How many resources it deleted or began to replace. */
  readonly destroyed: number;
}

/** At the same time; machines that are made at once go into the database together. */
const CONCURRENCY = 8;

@Injectable()
export class Execution {
  private readonly logger = new Logger(Execution.name);

  constructor(private readonly resources: ResourceActions) {}

  async run({ actions, settling }: Plan, context: ExecutionContext): Promise<ExecutionResult> {
    const results = new Map<ResourceKey, SyncAction>(settling.map((identity) => [keyOf(identity), onItsWay(identity)]));
    let destroyed = 0;
    const carryOut = async (action: Action): Promise<void> => {
      const result = await this.carryOut(action, results, context);
      results.set(action.key, result);
      if (action.held === undefined && destroys(action) && isUnderWay(result) && action.actual?.readiness !== 'busy') destroyed++;
    };
    const { now, later } = parted(actions);
    for (const independent of [...inBatches(now), ...later.map((action) => [action])]) {
      const queue = [...independent];
      const worker = async (): Promise<void> => {
        while (queue.length > 0 && !(await context.aborted())) {
          const next = queue.shift();
          if (next !== undefined) await carryOut(next);
        }
      };
      await Promise.all(Array.from({ length: CONCURRENCY }, worker));
      if (await context.aborted()) break;
    }
    return { actions: actions.flatMap(({ key }) => results.get(key) ?? []), destroyed };
  }

  private async carryOut(action: Action, results: ReadonlyMap<ResourceKey, SyncAction>, context: ExecutionContext): Promise<SyncAction> {
    const told = (result: SyncAction['result'], message = ''): SyncAction => ({ ...describe(action), result, message });
    if (action.held !== undefined) return heldBack(action, action.held, results);
    const before = action.after.map((key) => results.get(key)).find((result) => result !== undefined && result.result !== 'done');
    if (before !== undefined)
      return before.result === 'waiting'
        ? told('waiting', `comes after ${before.resource}`)
        : told('blocked', `comes after ${before.resource}, which could not be done`);
    const missing = requiredPermissions(action).find((permission) => !context.granted.has(permission));
    if (missing !== undefined) return told('failed', `The role of the repository's service account lacks the permission ${missing}.`);
    try {
      return told(await this.resources.carryOut(action, { ...context.owner, origin: originOf(action, context) }, context.commit));
    } catch (error) {
      const refusal = toApiError(error);
      if (!(error instanceof ApiError) && refusal.status >= 500)
        this.logger.error(`${action.verb} ${titleOf(action.identity)}: ${error instanceof Error ? error.stack : String(error)}`);
      return told(refusal.status === 503 ? 'waiting' : 'failed', refusal.message);
    }
  }
}

/** Where the API has what a manifest declares. */
const ROUTES: Readonly<Record<Kind, string>> = {
  Environment: '/core/environments',
  Keypair: '/core/keypairs',
  Firewall: '/core/firewalls',
  Volume: '/core/volumes',
  Profile: '/core/profiles',
  VirtualMachine: '/core/virtual-machines',
};

const originOf = ({ identity, actual }: Action, { owner, commit }: ExecutionContext): Origin => ({
  requestId: commit,
  address: null,
  method: 'SYNC',
  endpoint: ROUTES[identity.kind],
  path: `/v1/gitops/git-repo/${owner.id}`,
  resourceId: actual?.id ?? null,
});

export const describe = ({ verb, identity, changes }: Action): Omit<SyncAction, 'result' | 'message'> => ({
  verb,
  resource: titleOf(identity),
  fields: changes.map(({ field }) => field),
});

export const isUnderWay = ({ result }: SyncAction): boolean => result === 'done' || result === 'waiting';

/** What is held, and what comes after it, is judged by how all the others ended. */
function parted(actions: readonly Action[]): { now: Action[]; later: Action[] } {
  const late = new Set<ResourceKey>();
  for (const { key, held, after } of actions) if (held !== undefined || after.some((before) => late.has(before))) late.add(key);
  return { now: actions.filter(({ key }) => !late.has(key)), later: actions.filter(({ key }) => late.has(key)) };
}

/** Of what has all that was declared, and has not arrived. */
export const onItsWay = (identity: Identity): SyncAction => ({
  verb: 'update',
  resource: titleOf(identity),
  fields: [],
  result: 'waiting',
  message: ON_ITS_WAY,
});

export const ON_ITS_WAY = 'is on its way';

/** Those of its group that are out of service come back, or the roll-out has stopped. */
function heldBack(action: Action, held: Hold, results: ReadonlyMap<ResourceKey, SyncAction>): SyncAction {
  const undone = held.by.map(({ key }) => results.get(key)).find((result) => result?.result === 'failed' || result?.result === 'blocked');
  const stoppedAt = held.stoppedBy ?? undone?.resource;
  return stoppedAt === undefined
    ? { ...describe(action), result: 'waiting', message: heldInWords(held) }
    : { ...describe(action), result: 'blocked', message: stoppedInWords(held.group, stoppedAt) };
}

/** Runs of actions of which none comes after another of the same run. */
function inBatches(actions: readonly Action[]): Action[][] {
  const batches: Action[][] = [];
  let batch: Action[] = [];
  let keys = new Set<ResourceKey>();
  for (const action of actions) {
    if (action.after.some((key) => keys.has(key))) {
      batches.push(batch);
      batch = [];
      keys = new Set();
    }
    batch.push(action);
    keys.add(action.key);
  }
  return [...batches, batch];
}
