import { ValidateBy, type ValidationOptions } from 'class-validator';

/** A text's size as it travels, not as it is displayed: bytes of its UTF-8 form. */
export const MaxBytes = (limit: number, options?: ValidationOptions): PropertyDecorator =>
  ValidateBy(
    {
      name: 'maxBytes',
      validator: {
        validate: (value: unknown) => typeof value === 'string' && Buffer.byteLength(value) <= limit,
        defaultMessage: (args) => `${args?.property} must not be larger than ${limit} bytes`,
      },
    },
    options,
  );
