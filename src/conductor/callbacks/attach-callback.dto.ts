/** What sets a callback, of a VM or of a volume, and the answer to it. */
import { ApiProperty } from '@nestjs/swagger';
import { IsString, MaxLength } from 'class-validator';
import { Envelope } from '../http/envelope.js';

export class AttachCallbackPayload {
  @ApiProperty({ maxLength: 250, description: 'Gets one signed POST for each change of status.' })
  @IsString()
  @MaxLength(250)
  url: string;
}

export class AttachCallbackResponse extends Envelope {
  @ApiProperty()
  url: string;

  constructor(message: string, url: string) {
    super(message);
    this.url = url;
  }
}
