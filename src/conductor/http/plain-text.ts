/**
 * Text of one line: no control characters, no half of a surrogate pair. PostgreSQL refuses the one (NUL) and cannot
 * hold the other, so they are turned away at the edge with words, and not by the database with a 500.
 */
import { Matches } from 'class-validator';

export const PLAIN_TEXT = /^[^\p{Cc}\p{Cs}]*$/u;

export const IsPlainText = (): PropertyDecorator =>
  Matches(PLAIN_TEXT, { message: '$property may not contain line breaks or other control characters' });
