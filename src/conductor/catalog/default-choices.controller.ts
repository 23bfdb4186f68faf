/** `/v1/core/user/resources/defaults`: what a console offers first to somebody who has chosen nothing yet. */
import { Controller, Get, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiProperty, ApiTags } from '@nestjs/swagger';
import { DataSource } from 'typeorm';
import { DocumentedErrors } from '../http/documented-errors.js';
import { Envelope } from '../http/envelope.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';

export class DefaultChoice {
  @ApiProperty({ type: 'integer' })
  region_id: number;

  @ApiProperty({ type: 'integer', description: 'The smallest flavor of the region.' })
  flavor_id: number;

  @ApiProperty({ type: 'integer', description: 'The newest public image of the region.' })
  image_id: number;

  @ApiProperty({ type: 'integer', nullable: true, description: "The organization's first keypair in the region." })
  keypair_id: number | null;
}

export class DefaultChoicesResponse extends Envelope {
  @ApiProperty({ type: [DefaultChoice], description: 'One for each region in which a VM can be made.' })
  user_default_choices: DefaultChoice[];
}

/** A region without a flavor or an image has no default to offer. */
const CHOICES = `
  SELECT r.id AS region_id, f.id AS flavor_id, i.id AS image_id,
         (SELECT min(k.id) FROM keypair k JOIN environment e ON e.id = k.environment_id
           WHERE e.region_id = r.id AND e.organization_id = $1) AS keypair_id
    FROM region r
    JOIN LATERAL (SELECT id FROM flavor WHERE region_id = r.id AND NOT custom ORDER BY gpu_count, cpu, ram_mib, disk, id LIMIT 1) f ON true
    JOIN LATERAL (SELECT id FROM image WHERE region_id = r.id AND organization_id IS NULL AND deleted_at IS NULL
                   ORDER BY created_at DESC, id DESC LIMIT 1) i ON true
   ORDER BY r.id`;

@ApiTags('UserDetailChoice')
@UseGuards(ApiKeyGuard)
@Controller('v1/core/user/resources/defaults')
export class DefaultChoicesController {
  constructor(private readonly dataSource: DataSource) {}

  @Get()
  @ApiOperation({ operationId: 'list_default_flavors_and_images', summary: 'Suggest flavor, image and keypair by region' })
  @ApiOkResponse({ type: DefaultChoicesResponse })
  @DocumentedErrors()
  async list(@Caller() { organizationId }: Principal): Promise<DefaultChoicesResponse> {
    const response = new DefaultChoicesResponse('Getting default choices successful');
    response.user_default_choices = await this.dataSource.query<DefaultChoice[]>(CHOICES, [organizationId]);
    return response;
  }
}
