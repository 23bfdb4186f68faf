/**
 * Roll-outs: of the machines of a group no more are taken out of service at a time than the group allows, those that are
 * out of service already counted. What has to wait stays in the plan, held: a later pass, which finds the successors
 * ACTIVE, begins it. So nothing is remembered, and one that does not come up stops its group by itself.
 */
import { keyOf, titleOf, type DeclaredResource, type DeclaredVirtualMachine, type ResourceKey } from '../manifest/resource.js';
import type { Action, ActualResource, ForeignResource, PlanProblem } from './plan.js';

/** Why an action is not this pass's, whatever else it would wait for. */
export interface Hold {
  /** As in `web`. */
  readonly group: string;
  readonly atATime: number;
  /** The members that are out of service, or taken out of it by this plan. */
  readonly by: readonly { readonly key: ResourceKey; readonly title: string }[];
  /** One of them has a problem that no pass will solve. */
  readonly stoppedBy: string | undefined;
}

export const heldInWords = ({ group, atATime, by }: Hold): string => `comes after ${by[0]!.title}: of ${group} no more than ${atATime} may be out of service`;

export const stoppedInWords = (group: string, at: string): string => `the roll-out of ${group} has stopped at ${at}`;

/** @returns the same actions, those held that are beyond what their group allows. */
export function rolledOut(
  actions: readonly Action[],
  desired: readonly DeclaredResource[],
  present: ReadonlyMap<ResourceKey, ActualResource | ForeignResource>,
  problems: readonly PlanProblem[],
): Action[] {
  const byKey = new Map(actions.map((action) => [action.key, action]));
  const troubled = new Set(problems.map(({ key }) => key));
  for (const members of groupsOf(desired)) {
    const { name: group, maxUnavailable: atATime } = members[0]!.group!;
    const out = members.filter((member) => isOut(present.get(keyOf(member))));
    const disrupting = members.map((member) => byKey.get(keyOf(member))).filter((action) => action !== undefined && takesOut(action));
    const room = Math.max(0, atATime - out.length);
    if (disrupting.length <= room) continue;
    const by = [...out, ...disrupting.slice(0, room).map((action) => action!.declared!)].map((member) => ({ key: keyOf(member), title: titleOf(member) }));
    const stoppedBy = by.find(({ key }) => troubled.has(key) && !byKey.has(key))?.title;
    for (const action of disrupting.slice(room)) byKey.set(action!.key, { ...action!, held: { group, atATime, by, stoppedBy } });
  }
  return actions.map(({ key }) => byKey.get(key)!);
}

/** Its members in the order of their numbers. */
function groupsOf(desired: readonly DeclaredResource[]): DeclaredVirtualMachine[][] {
  const groups = new Map<string, DeclaredVirtualMachine[]>();
  for (const resource of desired) {
    if (resource.kind !== 'VirtualMachine' || resource.group === null) continue;
    const key = `${resource.environment}/${resource.group.name}`;
    const members = groups.get(key);
    if (members === undefined) groups.set(key, [resource]);
    else members.push(resource);
  }
  return [...groups.values()].map((members) => members.sort((a, b) => a.group!.index - b.group!.index));
}

/** Somebody else's machine that has the name does not count: it is no member. */
const isOut = (found: ActualResource | ForeignResource | undefined): boolean => found === undefined || (found.owned && found.readiness !== 'ready');

/** Of one that is out of service already, nothing more is lost. */
const takesOut = ({ verb, actual, changes }: Action): boolean =>
  actual?.readiness === 'ready' && (verb === 'replace' || (verb === 'update' && changes.some(({ field }) => field === 'flavor')));
