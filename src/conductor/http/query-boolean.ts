/**
 * A boolean in the query: `true`, `1` or nothing but its name; `false` or `0`; in any case of letters. Anything else
 * stays as it is, for the validation to refuse: a `dry_run` that was not understood must not become a creation.
 */
import { applyDecorators } from '@nestjs/common';
import { Transform } from 'class-transformer';
import { IsBoolean } from 'class-validator';

const VALUES: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['1', true],
  ['', true],
  ['false', false],
  ['0', false],
]);

export const readQueryBoolean = (value: unknown): unknown =>
  typeof value === 'string' ? (VALUES.get(value.toLowerCase()) ?? value) : value;

export const IsQueryBoolean = (): PropertyDecorator =>
  applyDecorators(
    Transform(({ value }) => readQueryBoolean(value)),
    IsBoolean({ message: '$property must be true or false' }),
  );
