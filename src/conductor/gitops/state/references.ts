/**
 * What the actions of a plan name and neither the manifest nor the cloud has: found before anything is done, so that a
 * typing error is shown by a preview, and destroys nothing that could then not be made anew. One query, and none where
 * nothing is to be done. What is there now may be gone when it is needed: the services judge that.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { keyOf, type DeclaredResource, type Kind, type ResourceKey } from '../manifest/resource.js';
import type { Action, Impossibility } from '../plan/plan.js';
import type { Owner } from './actual-state.js';

type Referred = 'flavor' | 'image' | 'keypair' | 'firewall' | 'volume';

interface Reference {
  /** Of the manifest. */
  readonly field: string;
  readonly referred: Referred;
  readonly environment: string;
  readonly name: string;
}

/** Those that a manifest can declare itself. */
const KIND: Readonly<Partial<Record<Referred, Kind>>> = { keypair: 'Keypair', firewall: 'Firewall', volume: 'Volume' };

/** What is named in an environment that there is not, and that nobody declares, is told by that. */
const ABSENT = `
  SELECT w.referred, w.environment, w.name, r.name AS region
    FROM json_to_recordset($2) AS w(referred text, environment text, region text, name text)
    LEFT JOIN environment e ON e.organization_id = $1 AND e.name = w.environment AND e.deleted_at IS NULL
    JOIN region r ON CASE WHEN e.id IS NULL THEN r.name = w.region ELSE r.id = e.region_id END
   WHERE NOT CASE w.referred
     WHEN 'flavor' THEN EXISTS (SELECT 1 FROM flavor f WHERE f.region_id = r.id AND f.name = w.name AND NOT f.custom)
     WHEN 'image' THEN EXISTS (SELECT 1 FROM image i WHERE i.region_id = r.id AND i.name = w.name AND i.deleted_at IS NULL
                                  AND (i.organization_id = $1 OR i.organization_id IS NULL))
     WHEN 'keypair' THEN EXISTS (SELECT 1 FROM keypair k WHERE k.environment_id = e.id AND k.name = w.name)
     WHEN 'firewall' THEN EXISTS (SELECT 1 FROM firewall f WHERE f.environment_id = e.id AND f.name = w.name)
     ELSE EXISTS (SELECT 1 FROM volume v WHERE v.environment_id = e.id AND v.name = w.name AND v.deleted_at IS NULL) END`;

interface AbsentRow extends Pick<Reference, 'referred' | 'environment' | 'name'> {
  readonly region: string;
}

@Injectable()
export class References {
  constructor(private readonly dataSource: DataSource) {}

  /** By what names it. */
  async missing({ organizationId }: Owner, actions: readonly Action[], declared: readonly DeclaredResource[]): Promise<ReadonlyMap<ResourceKey, Impossibility>> {
    const known: ReadonlySet<ResourceKey> = new Set(declared.map(keyOf));
    const byAction = actions.map((action): [ResourceKey, Reference[]] => [action.key, referencesOf(action).filter((reference) => !known.has(keyOfReferred(reference)!))]);
    const distinct = new Map(byAction.flatMap(([, references]) => references.map((reference) => [textOf(reference), reference])));
    if (distinct.size === 0) return new Map();
    const regions = new Map(declared.flatMap((resource) => (resource.kind === 'Environment' ? [[resource.name, resource.spec.region]] : [])));
    const wanted = [...distinct.values()].map(({ referred, environment, name }) => ({ referred, environment, name, region: regions.get(environment) ?? null }));
    const rows = await this.dataSource.query<AbsentRow[]>(ABSENT, [organizationId, JSON.stringify(wanted)]);
    const absent = new Map(rows.map((row) => [textOf(row), row]));
    return new Map(
      byAction.flatMap(([key, references]) => {
        const reference = references.find((candidate) => absent.has(textOf(candidate)));
        return reference === undefined ? [] : [[key, inWords(reference, absent.get(textOf(reference))!)]];
      }),
    );
  }
}

/** What it takes to carry it out; what stays as it is may be gone long since. */
function referencesOf({ verb, declared, changes }: Action): Reference[] {
  if (declared === undefined) return [];
  const { environment } = declared;
  const all = (field: string, referred: Referred, names: readonly (string | null)[]): Reference[] =>
    names.flatMap((name) => (name === null ? [] : [{ field, referred, environment, name }]));
  if (declared.kind === 'Volume') return verb === 'create' ? all('spec.image', 'image', [declared.spec.image]) : [];
  if (declared.kind !== 'VirtualMachine') return [];
  const { flavor, image, boot_volume, keypairs, firewalls, volumes } = declared.spec;
  const isNew = (field: string): boolean => verb !== 'update' || changes.some((change) => change.field === field);
  return [
    ...(isNew('flavor') && typeof flavor === 'string' ? all('spec.flavor', 'flavor', [flavor]) : []),
    ...(isNew('image') ? all('spec.image', 'image', [image]) : []),
    ...(isNew('boot_volume') ? all('spec.boot_volume', 'volume', [boot_volume]) : []),
    ...(isNew('keypairs') ? all('spec.keypairs', 'keypair', keypairs) : []),
    ...(isNew('firewalls') ? all('spec.firewalls', 'firewall', firewalls) : []),
    ...(isNew('volumes') ? all('spec.volumes', 'volume', volumes) : []),
  ];
}

const textOf = ({ referred, environment, name }: Pick<Reference, 'referred' | 'environment' | 'name'>): string => `${referred}/${environment}/${name}`;

const keyOfReferred = ({ referred, environment, name }: Reference): ResourceKey | undefined => KIND[referred] && keyOf({ kind: KIND[referred], environment, name });

function inWords({ field, referred, environment, name }: Reference, { region }: AbsentRow): Impossibility {
  const where = KIND[referred] === undefined ? `the region ${region}` : `the environment ${environment}`;
  const remedy = KIND[referred] === undefined ? '' : ', and the manifest does not declare it';
  return { field, message: `names the ${referred} ${JSON.stringify(name)}, which ${where} does not have${remedy}` };
}
