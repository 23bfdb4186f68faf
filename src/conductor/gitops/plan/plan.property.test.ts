/** What holds for every plan, tried on a model of the cloud. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { keyOf, type DeclaredResource, type ResourceKey } from '../manifest/resource.js';
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
        const { actions } = plan(desired, present, pruning);
        const place = new Map(actions.map(({ key }, index) => [key, index]));
        actions.forEach(({ after }, index) => after.forEach((key) => expect(place.get(key)!).toBeLessThan(index)));
      }),
      { numRuns: 500 },
    );
  });
});
