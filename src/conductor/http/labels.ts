/** Labels of what has few of them, in one list. */
import { applyDecorators } from '@nestjs/common';
import { ApiPropertyOptional } from '@nestjs/swagger';
import { ArrayMaxSize, ArrayUnique, IsArray, IsOptional, Matches } from 'class-validator';

const MOST_LABELS = 20;

/** No comma: in one of Infrahub's answers labels are one string, with commas between them. */
export const IsLabels = (): PropertyDecorator =>
  applyDecorators(
    ApiPropertyOptional({ type: [String], maxItems: MOST_LABELS }),
    IsOptional(),
    Matches(/^[^\p{C}/,]{1,64}$/u, { each: true, message: 'each label must have 1 to 64 printable characters, and neither slash nor comma' }),
    ArrayUnique(),
    ArrayMaxSize(MOST_LABELS),
    IsArray(),
  );
