/**
 * An object, or a list of objects, within a body. `ValidateNested` alone takes a list wherever an object belongs, looks
 * into its items and finds nothing wrong with an empty one.
 */
import { applyDecorators } from '@nestjs/common';
import { Type as Constructed } from 'class-transformer';
import { IsArray, IsObject, ValidateNested } from 'class-validator';

type Class = new () => object;

export const IsNested = (type: () => Class): PropertyDecorator =>
  applyDecorators(
    Constructed(type),
    ValidateNested(),
    IsObject({ message: '$property must be an object' }),
  );

export const IsListOfNested = (type: () => Class): PropertyDecorator =>
  applyDecorators(
    Constructed(type),
    ValidateNested({ each: true }),
    IsObject({ each: true, message: 'each item of $property must be an object' }),
    IsArray(),
  );
