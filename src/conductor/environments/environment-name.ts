/**
 * What an environment may be called. Its name is a segment of paths (`/v1/core/virtual-machines/{environment}/{name}`,
 * beside `/v1/core/virtual-machines/{id}`), so it must need no escaping there, must not look like an id, and must not
 * be a word that stands, or will stand, in that place.
 */
import { ValidateBy, type ValidationOptions } from 'class-validator';

export const MAX_ENVIRONMENT_NAME_LENGTH = 50;

/** Words of present and planned paths below `/v1/core/virtual-machines/`. Adding one later would hide an environment. */
export const RESERVED_ENVIRONMENT_NAMES: ReadonlySet<string> = new Set([
  'name-availability',
  'labels',
  'label',
  'events',
  'metrics',
  'contract',
  'contracts',
  'quota',
  'stream',
  'search',
  'batch',
]);

const SHAPE = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/** Why no environment can ever have this name, for its letters. */
export function misshapenEnvironmentName(name: string): string | undefined {
  if (name.length > MAX_ENVIRONMENT_NAME_LENGTH || !SHAPE.test(name))
    return (
      `must have 1 to ${MAX_ENVIRONMENT_NAME_LENGTH} characters, only letters, digits, '-', '_' and '.', ` +
      'and begin with a letter or a digit'
    );
  return undefined;
}

/** Why a well-formed name is not given out. */
export function refusedEnvironmentName(name: string): string | undefined {
  if (/^\d+$/.test(name)) return 'must not consist of digits only: it would be taken for an id';
  if (RESERVED_ENVIRONMENT_NAMES.has(name.toLowerCase())) return `must not be '${name}': that word is part of the API's paths`;
  return undefined;
}

const problemWith = (value: unknown): string | undefined =>
  typeof value === 'string' ? (misshapenEnvironmentName(value) ?? refusedEnvironmentName(value)) : 'must be a string';

export const IsEnvironmentName = (options?: ValidationOptions): PropertyDecorator =>
  ValidateBy(
    {
      name: 'isEnvironmentName',
      validator: {
        validate: (value) => problemWith(value) === undefined,
        defaultMessage: (context) => `name ${problemWith(context?.value)}`,
      },
    },
    options,
  );
