/** A label of a flavor or an image, as Infrahub's clients know it. */
import { ApiProperty } from '@nestjs/swagger';

export class LabelFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  label: string;
}
