/** What holds for every plan, tried on a model of the cloud. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { keyOf, type DeclaredResource, type DeclaredVirtualMachine, type ResourceKey } from '../manifest/resource.js';
import { destroys, plan, type Action, type ActualResource, type ForeignResource, type Plan, type PruningPolicy } from './plan.js';
import { actual, anyActual, anyDeclared } from './resources.fixture.js';

const desiredSet = fc.uniqueArray(anyDeclared, { selector: keyOf, maxLength: 14 });
const actualSet = fc.uniqueArray(anyActual, { selector: keyOf, maxLength: 14 });
const policy: fc.Arbitrary<PruningPolicy> = fc.record({
  prune: fc.boolean(),
  limit: fc.integer({ min: 0, max: 14 }),
  spent: fc.integer({ min: 0, max: 3 }),
  complete: fc.boolean(),
});

type Cloud = ReadonlyMap<ResourceKey, ActualResource | ForeignResource>;

/** What the cloud is after an action; a machine without a wish for its power runs. */
function carriedOut(cloud: Cloud, { verb, key, declared, actual: before }: Action): Cloud {
  const after = new Map(cloud);
  if (verb === 'delete') after.delete(key);
  else {
    const wanted = declared!;
    const power = before?.kind === 'VirtualMachine' && verb === 'update' ? before.spec.power : 'running';
    const spec =
      wanted.kind === 'VirtualMachine' ? { ...wanted.spec, power: wanted.spec.power === 'unmanaged' ? power : wanted.spec.power } : wanted.spec;
    after.set(key, actual({ ...wanted, spec } as DeclaredResource));
  }
  return after;
}

const cloudOf = (resources: readonly (ActualResource | ForeignResource)[]): Cloud => new Map(resources.map((resource) => [keyOf(resource), resource]));

const apply = (cloud: Cloud, { actions }: Plan): Cloud => actions.reduce(carriedOut, cloud);

/** What was on its way has arrived. */
const settled = (cloud: Cloud): Cloud =>
  cloudOf([...cloud.values()].map((resource) => (resource.owned && resource.readiness === 'busy' ? { ...resource, readiness: 'ready' as const } : resource)));

const everything = fc.tuple(desiredSet, actualSet, policy);

describe('any plan', () => {
  it('leaves nothing to do once it is carried out', () => {
    fc.assert(
      fc.property(everything, ([desired, present, pruning]) => {
        const first = plan(desired, present, pruning);
        const spent = pruning.spent + first.actions.filter(destroys).length;
        const second = plan(desired, [...apply(cloudOf(present), first).values()], { ...pruning, spent });
        expect(second.actions).toEqual([]);
        expect(second.problems.map(({ key }) => key)).toEqual(first.problems.map(({ key }) => key));
      }),
      { numRuns: 500 },
    );
  });

  it('ends, pass by pass, with nothing but what waits for a machine in error', () => {
    fc.assert(
      fc.property(everything, ([desired, present, pruning]) => {
        let [cloud, spent] = [cloudOf(present), pruning.spent];
        for (let pass = 0; pass < desired.length + 2; pass++) {
          const planned = plan(desired, [...cloud.values()], { ...pruning, spent });
          const begun = planned.actions.filter(({ held }) => held === undefined);
          spent += begun.filter(destroys).length;
          cloud = settled(apply(cloud, { ...planned, actions: begun }));
        }
        const left = plan(desired, [...cloud.values()], { ...pruning, spent });
        expect(left.actions.filter(({ held }) => held?.stoppedBy === undefined)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it('takes no more of a group out of service than it may', () => {
    fc.assert(
      fc.property(everything, ([desired, present, pruning]) => {
        const { actions } = plan(desired, present, pruning);
        const before = cloudOf(present);
        const grouped = desired.filter((resource): resource is DeclaredVirtualMachine => resource.kind === 'VirtualMachine' && resource.group !== null);
        for (const environment of ['e0', 'e1']) {
          const members = grouped.filter((resource) => resource.environment === environment);
          const ready = members.filter((member) => (before.get(keyOf(member)) as ActualResource | undefined)?.readiness === 'ready').map(keyOf);
          const out = members.filter((member) => before.get(keyOf(member))?.owned !== false).length - ready.length;
          const taken = actions.filter(({ key, held, verb, changes }) => ready.includes(key) && held === undefined && (verb === 'replace' || changes.some(({ field }) => field === 'flavor')));
          expect(taken.length).toBeLessThanOrEqual(Math.max(0, 1 - out));
        }
      }),
      { numRuns: 500 },
    );
  });

  it('makes of the cloud what is declared, but for what it tells as a problem', () => {
    fc.assert(
      fc.property(everything, ([desired, present, pruning]) => {
        const planned = plan(desired, present, pruning);
        const cloud = apply(cloudOf(present), planned);
        const told = new Set(planned.problems.map(({ key }) => key));
        for (const resource of desired) {
          if (told.has(keyOf(resource))) continue;
          const { spec } = cloud.get(keyOf(resource)) as ActualResource;
          const power = resource.kind === 'VirtualMachine' && resource.spec.power === 'unmanaged' ? { power: 'unmanaged' } : {};
          expect({ ...spec, ...power }).toEqual(resource.spec);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('is the same whatever the order of documents and resources', () => {
    fc.assert(
      fc.property(
        everything.chain(([desired, present, pruning]) =>
          fc.record({
            shuffledDesired: fc.shuffledSubarray(desired, { minLength: desired.length }),
            shuffledPresent: fc.shuffledSubarray(present, { minLength: present.length }),
            original: fc.constant({ desired, present }),
            pruning: fc.constant(pruning),
          }),
        ),
        ({ original, shuffledDesired, shuffledPresent, pruning }) => {
          expect(plan(shuffledDesired, shuffledPresent, pruning)).toEqual(plan(original.desired, original.present, pruning));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('has no action on what it does not own', () => {
    fc.assert(
      fc.property(everything, ([desired, present, pruning]) => {
        const foreign = new Set(present.filter(({ owned }) => !owned).map(keyOf));
        const { actions, kept } = plan(desired, present, pruning);
        expect(actions.filter(({ key }) => foreign.has(key))).toEqual([]);
        expect(kept.filter((identity) => foreign.has(keyOf(identity)))).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it('destroys no more than its limit, nothing that is protected, and deletes only with pruning of all that was read', () => {
    fc.assert(
      fc.property(everything, ([desired, present, pruning]) => {
        const { actions } = plan(desired, present, pruning);
        const destroying = actions.filter(destroys);
        if (destroying.length > 0) expect(destroying.length + pruning.spent).toBeLessThanOrEqual(pruning.limit);
        expect(destroying.filter((action) => action.actual!.protect)).toEqual([]);
        if (!pruning.prune || !pruning.complete) expect(actions.filter(({ verb }) => verb === 'delete')).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it('has an order: nothing waits for what comes later', () => {
    fc.assert(
      fc.property(everything, ([desired, present, pruning]) => {
        const { actions, settling } = plan(desired, present, pruning);
        const atRest = (key: ResourceKey): boolean => !settling.some((identity) => keyOf(identity) === key);
        const place = new Map(actions.map(({ key }, index) => [key, index]));
        actions.forEach(({ after }, index) => after.filter(atRest).forEach((key) => expect(place.get(key)!).toBeLessThan(index)));
      }),
      { numRuns: 500 },
    );
  });
});
