/**
 * In which order actions are carried out, and which have to wait for which: what is used is there before what uses it,
 * and goes after it. Machines that go leave their room to those that come.
 */
import { keyOf, type DeclaredResource, type Kind, type ResourceKey } from '../manifest/resource.js';
import type { Action, ActualResource, Verb } from './plan.js';

const STEP: Readonly<Record<Verb, Readonly<Record<Kind, number>>>> = {
  create: { Environment: 0, Keypair: 1, Firewall: 1, Volume: 1, Profile: 1, VirtualMachine: 4 },
  update: { Environment: 0, Keypair: 1, Firewall: 1, Volume: 1, Profile: 1, VirtualMachine: 3 },
  replace: { Environment: 0, Keypair: 1, Firewall: 1, Volume: 1, Profile: 1, VirtualMachine: 3 },
  delete: { VirtualMachine: 2, Keypair: 5, Firewall: 5, Volume: 5, Profile: 5, Environment: 6 },
};

/** What a resource needs to be there: its environment, and what a machine refers to by name. */
export function usesOf(resource: DeclaredResource | ActualResource): ResourceKey[] {
  const { environment } = resource;
  if (environment === '') return [];
  const named = (kind: Kind, names: readonly string[]): ResourceKey[] => names.map((name) => keyOf({ kind, environment, name }));
  const references =
    resource.kind === 'VirtualMachine'
      ? [
          ...named('Keypair', resource.spec.keypairs),
          ...named('Firewall', resource.spec.firewalls),
          ...named('Volume', [...resource.spec.volumes, ...bootVolumeOf(resource)]),
        ]
      : [];
  return [keyOf({ kind: 'Environment', environment: '', name: environment }), ...references];
}

const bootVolumeOf = (resource: DeclaredResource | ActualResource | undefined): string[] =>
  resource?.kind !== 'VirtualMachine' || resource.spec.boot_volume === null ? [] : [resource.spec.boot_volume];

/** @param settling what is on its way somewhere: what uses it waits until it is there. */
export function inOrder(actions: readonly Action[], settling: ReadonlySet<ResourceKey>): Action[] {
  const byKey = new Map(actions.map((action) => [action.key, action]));
  const after = new Map(actions.map(({ key }) => [key, new Set<ResourceKey>()]));
  for (const { key, declared, actual } of actions) {
    for (const used of declared === undefined ? [] : usesOf(declared)) if (byKey.has(used) || settling.has(used)) after.get(key)!.add(used);
    // What it lets go can be deleted only then.
    for (const used of actual === undefined ? [] : usesOf(actual)) if (byKey.get(used)?.verb === 'delete') after.get(used)!.add(key);
  }
  // What a machine that comes shall boot from, another has to let go first. Nothing waits for what is made, so that no two wait for each other.
  const booted = new Map(actions.flatMap(({ key, actual }) => bootVolumeOf(actual).map((volume) => [`${actual!.environment}/${volume}`, key])));
  for (const { verb, key, declared } of actions)
    for (const volume of verb === 'create' ? bootVolumeOf(declared) : []) {
      const holder = booted.get(`${declared!.environment}/${volume}`);
      if (holder !== undefined) after.get(key)!.add(holder);
    }
  return actions
    .map((action) => ({ ...action, after: [...after.get(action.key)!].sort() }))
    .sort((a, b) => step(a) - step(b) || (a.key < b.key ? -1 : 1));
}

const step = ({ verb, identity }: Action): number => STEP[verb][identity.kind];
