/**
 * Desired state and actual state in, actions out: pure, so that what Git will do can be shown, tested and measured
 * without doing it. Applied in order, the actions make actual what is desired; planned again, nothing is left.
 *
 * What it must never do: name a resource that is not this owner's in an action, delete while it cannot be sure of what
 * is desired, or depend on the order of documents.
 */
import {
  keyOf,
  titleOf,
  type DeclaredResource,
  type Identity,
  type Kind,
  type ResourceKey,
  type Source,
  type SpecOf,
  type VirtualMachineSpec,
} from '../manifest/resource.js';
import { inOrder, usesOf } from './order.js';
import { rolledOut, type Hold } from './rollout.js';

/** How a field gets its new value. `refuse`: it cannot, and the resource holds what a replacement would lose. */
type Way = 'in place' | 'replace' | 'refuse';

const WAYS: { readonly [K in Kind]: Readonly<Record<keyof SpecOf[K] | 'name' | 'environment', Way>> } = {
  Environment: { name: 'in place', environment: 'refuse', region: 'refuse' },
  Keypair: { name: 'in place', environment: 'refuse', public_key: 'replace' },
  Firewall: { name: 'refuse', environment: 'refuse', rules: 'in place' },
  Volume: { name: 'refuse', environment: 'in place', size: 'in place', type: 'refuse', image: 'refuse' },
  Profile: { name: 'refuse', environment: 'refuse', description: 'replace', data: 'replace' },
  VirtualMachine: {
    name: 'refuse',
    environment: 'refuse',
    flavor: 'in place',
    labels: 'in place',
    firewalls: 'in place',
    volumes: 'in place',
    security_rules: 'in place',
    callback_url: 'in place',
    floating_ip: 'in place',
    power: 'in place',
    // A guest reads these when it boots for the first time, and never again.
    image: 'replace',
    boot_volume: 'replace',
    create_bootable_volume: 'replace',
    keypairs: 'replace',
    user_data: 'replace',
  },
};

/** Why a resource cannot be changed at this moment; `ready` when it can. */
export type Readiness = 'ready' | 'busy' | 'deleting' | 'failed';

/** A resource of this owner as it is. Its identity is the one that it was made under, which a rename by hand does not change. */
export interface ActualOf<K extends Kind> extends Identity {
  readonly kind: K;
  readonly id: number;
  readonly owned: true;
  readonly protect: boolean;
  readonly readiness: Readiness;
  /** Why it has failed, in words. */
  readonly fault: string | null;
  readonly spec: SpecOf[K];
  /** What it is called and where it is now. */
  readonly current: { readonly name: string; readonly environment: string };
}

export type ActualResource = { [K in Kind]: ActualOf<K> }[Kind];

/** Somebody else's, which has a name that is wanted. */
export interface ForeignResource extends Identity {
  readonly owned: false;
}

export type Verb = 'create' | 'update' | 'replace' | 'delete';

export interface FieldChange {
  readonly field: string;
  readonly from: unknown;
  readonly to: unknown;
}

export interface Action {
  readonly verb: Verb;
  readonly key: ResourceKey;
  readonly identity: Identity;
  /** Absent for `create`. */
  readonly actual: ActualResource | undefined;
  /** Absent for `delete`. */
  readonly declared: DeclaredResource | undefined;
  /** What is different; empty for `create` and `delete`. */
  readonly changes: readonly FieldChange[];
  /** Keys whose actions have to be done before, or that have to come to rest before. */
  readonly after: readonly ResourceKey[];
  /** Not now: enough of its group are out of service. */
  readonly held?: Hold;
}

export interface PlanProblem {
  readonly key: ResourceKey;
  readonly title: string;
  readonly source: Source | undefined;
  /** Empty when it is about the resource as a whole. */
  readonly field: string;
  readonly message: string;
}

/** Why something cannot be carried out, in words that follow the name of the resource. */
export interface Impossibility {
  readonly field: string;
  readonly message: string;
}

export interface PruningPolicy {
  /** What is no longer declared is deleted. */
  readonly prune: boolean;
  /** How many resources may be deleted or replaced for one commit. */
  readonly limit: number;
  /** How many were already, for this commit. */
  readonly spent: number;
  /** Every document could be read. While one could not, nothing is deleted: it might declare what seems to be gone. */
  readonly complete: boolean;
}

export interface Plan {
  readonly actions: readonly Action[];
  readonly problems: readonly PlanProblem[];
  /** How many are as they shall be. */
  readonly unchanged: number;
  /** Those of them that are still on their way there. */
  readonly settling: readonly Identity[];
  /** What is no longer declared and stays all the same, because pruning is off or held. */
  readonly kept: readonly Identity[];
}

/** @param impossible what cannot be carried out although the plan would have it, in words: then it is a problem, and nothing is done for it. */
export function plan(
  desired: readonly DeclaredResource[],
  actual: readonly (ActualResource | ForeignResource)[],
  pruning: PruningPolicy,
  impossible: ReadonlyMap<ResourceKey, Impossibility> = new Map(),
): Plan {
  const present = new Map(actual.map((resource) => [keyOf(resource), resource]));
  const settling: Identity[] = [];
  const declared = new Set<ResourceKey>();
  const actions: Action[] = [];
  const problems: PlanProblem[] = [];
  let unchanged = 0;

  for (const resource of desired) {
    const key = keyOf(resource);
    declared.add(key);
    const found = present.get(key);
    const wanted = found === undefined ? create(resource) : compare(resource, found);
    const reason = wanted && impossible.get(key);
    const outcome = reason === undefined ? wanted : problem(resource, resource.source, reason.message, reason.field);
    if (outcome === undefined) {
      unchanged++;
      if (found?.owned === true && found.readiness === 'busy') settling.push(identityOf(resource));
    } else if ('message' in outcome) problems.push(outcome);
    else actions.push(outcome);
  }

  const users = usersOf(desired);
  const gone = actual.filter((resource): resource is ActualResource => resource.owned && !declared.has(keyOf(resource)));
  const kept: ActualResource[] = [];
  for (const resource of gone) {
    const user = users.get(keyOf(resource));
    const reason = resource.protect
      ? 'is no longer declared, and stays because it was protected: declare it with protect: false first'
      : user && `is no longer declared, and stays because ${titleOf(user)} uses it: declare it, or let that go too`;
    if (reason !== undefined) {
      kept.push(resource);
      problems.push(problem(resource, user?.source, reason));
    } else if (!pruning.prune || !pruning.complete) kept.push(resource);
    else actions.push({ verb: 'delete', key: keyOf(resource), identity: identityOf(resource), actual: resource, declared: undefined, changes: [], after: [] });
  }

  const limited = withinLimit(actions, pruning);
  const allProblems = [...problems, ...limited.problems].sort(byKey);
  return {
    actions: inOrder(rolledOut(limited.actions, desired, present, allProblems), new Set(settling.map(keyOf))),
    problems: allProblems,
    unchanged,
    settling: settling.sort(byIdentity),
    kept: [...kept, ...limited.kept].map(identityOf).sort(byIdentity),
  };
}

/** By what is used: the first of those that use it. */
function usersOf(desired: readonly DeclaredResource[]): ReadonlyMap<ResourceKey, DeclaredResource> {
  const users = new Map<ResourceKey, DeclaredResource>();
  for (const resource of desired)
    for (const used of usesOf(resource)) {
      const other = users.get(used);
      if (other === undefined || keyOf(resource) < keyOf(other)) users.set(used, resource);
    }
  return users;
}

const create = (declared: DeclaredResource): Action => ({
  verb: 'create',
  key: keyOf(declared),
  identity: identityOf(declared),
  actual: undefined,
  declared,
  changes: [],
  after: [],
});

function compare(declared: DeclaredResource, actual: ActualResource | ForeignResource): Action | PlanProblem | undefined {
  if (!actual.owned)
    return problem(declared, declared.source, 'exists, and was not made by this repository: delete or rename one of the two');
  const changes = differences(declared, actual);
  const action = (verb: Verb): Action => ({
    verb,
    key: keyOf(declared),
    identity: identityOf(declared),
    actual,
    declared,
    changes,
    after: [],
  });
  // Deleted by hand, or by a replacement that was begun: made anew when it is gone.
  if (actual.readiness === 'deleting') return action('replace');
  const ways = changes.map(({ field }) => wayOf(declared.kind, field));
  const refusedField = changes[ways.indexOf('refuse')]?.field;
  if (refusedField !== undefined)
    return problem(declared, declared.source, `${refusedField} cannot be changed without losing what is in it: give the new one another name, or set it back`);
  if (ways.includes('replace')) {
    if (actual.protect || declared.protect)
      return problem(declared, declared.source, `${fieldsOf(changes, 'replace', declared.kind)} cannot be changed in place, and it is protected from being replaced`);
    return action('replace');
  }
  if (actual.readiness === 'failed')
    return problem(declared, declared.source, `is in error${actual.fault === null ? '' : `: ${actual.fault}`}. Delete it to have it made anew`);
  return changes.length === 0 ? undefined : action('update');
}

const wayOf = (kind: Kind, field: string): Way => (WAYS[kind] as Readonly<Record<string, Way>>)[field]!;

const fieldsOf = (changes: readonly FieldChange[], way: Way, kind: Kind): string =>
  changes.filter(({ field }) => wayOf(kind, field) === way).map(({ field }) => field).join(', ');

function differences(declared: DeclaredResource, actual: ActualResource): FieldChange[] {
  const from: Record<string, unknown> = { ...actual.spec, ...actual.current };
  const to: Record<string, unknown> = { ...declared.spec, name: declared.name, environment: declared.environment };
  return Object.keys(WAYS[declared.kind])
    .filter((field) => !(field === 'power' && agree(from[field] as Power, to[field] as Power)))
    .filter((field) => !(field === 'security_rules' && to[field] === null))
    .filter((field) => !same(from[field], to[field]))
    .map((field) => ({ field, from: from[field], to: to[field] }));
}

type Power = VirtualMachineSpec['power'];

/** A machine on its way is asked again when it has arrived. */
const agree = (actual: Power, declared: Power): boolean => declared === 'unmanaged' || actual === 'unmanaged' || actual === declared;

const same = (a: unknown, b: unknown): boolean => a === b || (typeof a === 'object' && JSON.stringify(sorted(a)) === JSON.stringify(sorted(b)));

/** Fields of maps in the order of their names: databases keep another one. */
const sorted = (value: unknown): unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)) : value;

/** Deletions and replacements of one commit: all or none of them, since half of a mistake is one too. */
function withinLimit(actions: Action[], { limit, spent }: PruningPolicy): { actions: Action[]; problems: PlanProblem[]; kept: ActualResource[] } {
  const destroying = actions.filter(destroys);
  if (destroying.length === 0 || spent + destroying.length <= limit) return { actions, problems: [], kept: [] };
  const message =
    `would be one of ${spent + destroying.length} that this commit deletes or replaces, and the limit is ${limit}: ` +
    'raise prune_limit, or delete in several commits';
  return {
    actions: actions.filter((action) => !destroys(action)),
    problems: destroying.map(({ identity, declared }) => problem(identity, declared?.source, message)),
    kept: destroying.filter(({ verb }) => verb === 'delete').map(({ actual }) => actual!),
  };
}

/** Whether carrying it out loses something that is there. What is being deleted already was counted when it was begun. */
export const destroys = ({ verb, actual, identity }: Action): boolean =>
  (verb === 'delete' || (verb === 'replace' && identity.kind === 'VirtualMachine')) && actual?.readiness !== 'deleting';

const identityOf = ({ kind, environment, name }: Identity): Identity => ({ kind, environment, name });

const problem = (identity: Identity, source: Source | undefined, message: string, field = ''): PlanProblem => ({
  key: keyOf(identity),
  title: titleOf(identity),
  source,
  field,
  message,
});

const byIdentity = (a: Identity, b: Identity): number => (keyOf(a) < keyOf(b) ? -1 : 1);

const byKey = (a: PlanProblem, b: PlanProblem): number => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);
