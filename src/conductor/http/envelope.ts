/** The frame around every answer, and how times are written in it. */
import { ApiProperty } from '@nestjs/swagger';

export class Envelope {
  @ApiProperty({ example: true })
  status: boolean = true;

  @ApiProperty({ example: 'Getting virtual machines successful' })
  message: string;

  constructor(message: string) {
    this.message = message;
  }
}

export class PagedEnvelope extends Envelope {
  @ApiProperty({ description: 'All rows that match, not only those on the page.' })
  count: number;

  @ApiProperty({ type: 'integer', nullable: true, description: 'Null when no page was asked for.' })
  page: number | null;

  @ApiProperty({ type: 'integer', nullable: true })
  page_size: number | null;

  constructor(message: string, count: number, page: Page | undefined) {
    super(message);
    this.count = count;
    this.page = page?.page ?? null;
    this.page_size = page?.pageSize ?? null;
  }
}

export class ErrorEnvelope {
  @ApiProperty({ example: false })
  status: boolean;

  @ApiProperty({ description: 'What went wrong and what to do about it.' })
  message: string;

  @ApiProperty({ example: 'bad_request' })
  error_reason: string;
}

export interface Page {
  readonly page: number;
  readonly pageSize: number;
}

/** UTC to the second and without a zone: the Go SDK cannot decode any other form. */
export const apiTime = (time: Date): string => time.toISOString().slice(0, 19);
