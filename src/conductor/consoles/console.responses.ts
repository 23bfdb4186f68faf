import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsOptional } from 'class-validator';
import type { ConsoleKind } from '../../protocol/console.js';
import { Envelope } from '../http/envelope.js';

export class RequestConsoleQuery {
  @ApiPropertyOptional({ enum: ['vnc', 'serial'], description: 'The screen (default), or the serial line.' })
  @IsOptional()
  @IsIn(['vnc', 'serial'])
  type?: ConsoleKind;
}

export class RequestConsole extends Envelope {
  @ApiProperty({ description: 'Path, below /v1, where the address of the console is fetched.', example: '/core/virtual-machines/7/console/12' })
  url: string;
}

export class VNCURLFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty({
    description:
      'Page to open in a browser within 60 seconds, once. What follows the number sign holds a secret. Empty, with status false, until the node has answered.',
  })
  vnc_url: string;
}

export class VNCURL extends Envelope {
  @ApiProperty({ type: VNCURLFields })
  vnc_url: VNCURLFields;
}
