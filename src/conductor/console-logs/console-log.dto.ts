/** What goes in and comes out of `/v1/core/virtual-machines/{vm_id}/logs`, and what a node answers. */
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Transform, Type } from 'class-transformer';
import { IsInt, IsOptional, IsString, Max, Min } from 'class-validator';
import { MOST_CONSOLE_BYTES, type ConsoleLogAnswer } from '../../protocol/console-log.js';
import { IsSession } from '../fleet/node-session.js';
import { Envelope } from '../http/envelope.js';
import { MaxBytes } from '../http/max-bytes.js';
import { storableText } from './console-text.js';
import { IgnoresUnknownFields } from '../http/validation-pipe.js';

export const MOST_LINES = 10_000;

export class RequestInstanceLogsPayload {
  @ApiPropertyOptional({
    type: 'integer',
    minimum: 1,
    maximum: MOST_LINES,
    description: `How many of the last lines. Never more than the last ${MOST_CONSOLE_BYTES / 1024} KiB.`,
  })
  @IsOptional()
  @IsInt()
  @Min(1)
  @Max(MOST_LINES)
  length?: number;
}

export class GetLogsQuery {
  @ApiProperty({ type: 'integer', minimum: 1 })
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(2 ** 31 - 1)
  request_id: number;
}

export class RequestInstanceLogsResponse extends Envelope {
  @ApiProperty({ type: 'integer', description: 'Valid for ten minutes.' })
  request_id: number;
}

export class GetInstanceLogsResponse extends Envelope {
  @ApiProperty({ type: String, nullable: true, description: 'Null, with status false, until the node has answered.' })
  logs: string | null;
}

/** The guest writes what it likes on its console: its bytes are made to fit before anything looks at them. */
@IgnoresUnknownFields()
export class ConsoleLogAnswerBody implements ConsoleLogAnswer {
  @IsSession()
  session: number;

  @Transform(({ value }: { value: unknown }) => (typeof value === 'string' ? storableText(value) : value))
  @IsString()
  // A byte that is no UTF-8 became three.
  @MaxBytes(3 * MOST_CONSOLE_BYTES)
  text: string;
}
