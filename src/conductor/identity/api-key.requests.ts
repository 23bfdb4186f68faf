/** What callers may send about their API keys. */
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional, IsString, Matches, MaxLength, MinLength } from 'class-validator';
import { IsPlainText } from '../http/plain-text.js';

export class UpdateApiKey {
  @ApiProperty({ minLength: 1, maxLength: 200, description: 'Unique among your keys.', example: 'ci' })
  @Matches(/\S/, { message: 'name may not be blank' })
  @IsPlainText()
  @MaxLength(200)
  @MinLength(1)
  @IsString()
  name: string;

  @ApiPropertyOptional({ maxLength: 500 })
  @IsOptional()
  @IsPlainText()
  @MaxLength(500)
  @IsString()
  description?: string;
}

export class GenerateApiKey extends UpdateApiKey {
  @ApiPropertyOptional({
    format: 'date-time',
    example: '2030-01-31T00:00:00Z',
    description: 'When the key becomes invalid; UTC unless it names a zone. Never later than the key that makes it.',
  })
  @IsOptional()
  @Matches(/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?$/, {
    message: 'expires_at must be a date and time such as 2030-01-31T00:00:00Z',
  })
  expires_at?: string;
}
