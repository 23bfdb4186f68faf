/**
 * Compares an answer with the model that Infrahub's clients were generated from: every field there, of exactly the
 * type that the strictest client (Python) accepts. Fields of ours beside them are allowed, as clients ignore them.
 */
import { readFileSync } from 'node:fs';

interface Field {
  readonly name: string;
  readonly type: string;
  readonly constraints?: { readonly enum?: readonly string[] };
}

const reference = JSON.parse(readFileSync(new URL('../reference/infrahub-api.json', import.meta.url), 'utf8')) as {
  models: Record<string, { fields: readonly Field[] }>;
};

/** The form that the Go client decodes: no zone. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/;

const PRIMITIVES: Readonly<Record<string, (value: unknown) => boolean>> = {
  string: (value) => typeof value === 'string',
  integer: (value) => Number.isInteger(value),
  number: (value) => typeof value === 'number' && Number.isFinite(value),
  boolean: (value) => typeof value === 'boolean',
  datetime: (value) => typeof value === 'string' && TIME.test(value),
  object: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
};

/**
 * @param nullable names of the fields that may be null here; any other null is a mismatch.
 * @returns what does not fit, by path; empty when all does.
 */
export function mismatches(model: string, answer: unknown, nullable: readonly string[] = []): string[] {
  const definition = reference.models[model];
  if (definition === undefined) throw new Error(`The reference has no model ${model}.`);
  if (!PRIMITIVES['object']!(answer)) return [`${model} is not an object`];
  const object = answer as Record<string, unknown>;
  return definition.fields.flatMap((field) => {
    const path = `${model}.${field.name}`;
    if (!Object.hasOwn(object, field.name)) return [`${path} is missing`];
    const value = object[field.name];
    if (value === null && nullable.includes(field.name)) return [];
    const options = field.constraints?.enum;
    if (options !== undefined && !options.includes(value as string)) return [`${path} is ${String(value)}`];
    return typeMismatches(path, field.type, value, nullable);
  });
}

function typeMismatches(path: string, type: string, value: unknown, nullable: readonly string[]): string[] {
  const item = /^array<(.*)>$/.exec(type)?.[1];
  if (item !== undefined) {
    if (!Array.isArray(value)) return [`${path} is not an array`];
    return value.flatMap((element, index) => typeMismatches(`${path}[${index}]`, item, element, nullable));
  }
  const fits = PRIMITIVES[type];
  if (fits === undefined) return mismatches(type, value, nullable);
  return fits(value) ? [] : [`${path} is ${JSON.stringify(value)}, not ${type}`];
}
