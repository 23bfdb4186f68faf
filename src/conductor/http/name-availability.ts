/** Whether a name is still free: Infrahub answers this without the usual envelope. */
import { ApiProperty } from '@nestjs/swagger';

export class NameAvailability {
  @ApiProperty()
  name: string;

  @ApiProperty()
  available: boolean;

  @ApiProperty({ description: 'Why the name cannot be taken, when it cannot.' })
  message: string;

  constructor(name: string, obstacle: string | undefined) {
    this.name = name;
    this.available = obstacle === undefined;
    this.message = obstacle ?? 'The name is available';
  }
}
