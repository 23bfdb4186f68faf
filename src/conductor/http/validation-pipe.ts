/**
 * What arrives is checked against its class. A field that the class does not have is refused, so that a misspelled one
 * is noticed; but workers are allowed to be newer than their conductors, and what they say beyond what is known here is
 * left out (`IgnoresUnknownFields`).
 */
import { ValidationPipe, type ArgumentMetadata, type ValidationError, type ValidationPipeOptions } from '@nestjs/common';
import { badRequest } from './api-error.js';

const tolerant = new WeakSet<object>();

/** For the bodies that workers send. */
export const IgnoresUnknownFields = (): ClassDecorator => (body) => void tolerant.add(body);

const options = (forbidNonWhitelisted: boolean): ValidationPipeOptions => ({
  whitelist: true,
  forbidNonWhitelisted,
  forbidUnknownValues: true,
  transform: true,
  stopAtFirstError: true,
  exceptionFactory: (errors) => badRequest(`${describe(errors).join('; ')}. See /docs for what is accepted.`),
});

export class BodyValidation extends ValidationPipe {
  private readonly ofWorkers = new ValidationPipe(options(false));

  constructor() {
    super(options(true));
  }

  override async transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    const isTolerant = metadata.metatype !== undefined && tolerant.has(metadata.metatype);
    return isTolerant ? await this.ofWorkers.transform(value, metadata) : await super.transform(value, metadata);
  }
}

function describe(errors: readonly ValidationError[], path = ''): string[] {
  return errors.flatMap((error) => {
    const name = path === '' ? error.property : `${path}.${error.property}`;
    const own = Object.entries(error.constraints ?? {}).map(([rule, text]) => {
      if (rule === 'whitelistValidation') return `${name} is not a known field`;
      if (error.value === undefined) return `${name} is required`;
      return text.replace(/^\S+/, (first) => (first === error.property ? name : first));
    });
    return [...own, ...describe(error.children ?? [], name)];
  });
}
