/** `/v1/core/images` and, singular as Infrahub has it, `/v1/core/image/name-availability`. */
import { Controller, Delete, Get, Param, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { DocumentedErrors } from '../http/documented-errors.js';
import { Envelope } from '../http/envelope.js';
import { NameAvailability } from '../http/name-availability.js';
import { ResourceId } from '../http/resource-id.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { ImageSearch } from './image.requests.js';
import { ImageResponse, ImagesResponse } from './image.responses.js';
import { ImagesService } from './images.service.js';

const Id = (): ParameterDecorator => Param('id', new ResourceId('The image'));
const ID = { name: 'id', type: 'integer' } as const;

@ApiTags('Image')
@UseGuards(ApiKeyGuard)
@Controller('v1/core')
export class ImagesController {
  constructor(private readonly images: ImagesService) {}

  @Get('images')
  @ApiOperation({ operationId: 'list_images', summary: 'List images, grouped by region and type' })
  @ApiOkResponse({ type: ImagesResponse })
  @DocumentedErrors(404)
  async list(@Caller() principal: Principal, @Query() query: ImageSearch): Promise<ImagesResponse> {
    return new ImagesResponse(await this.images.list(principal.organizationId, query));
  }

  @Get('image/name-availability/:name')
  @ApiOperation({ operationId: 'fetch_image_name_availability', summary: 'Ask whether a name is free' })
  @ApiOkResponse({ type: NameAvailability })
  @DocumentedErrors()
  async nameAvailability(@Caller() principal: Principal, @Param('name') name: string): Promise<NameAvailability> {
    return await this.images.nameAvailability(principal.organizationId, name);
  }

  @Get('images/:id')
  @ApiOperation({ operationId: 'get_image', summary: 'Show an image' })
  @ApiParam(ID)
  @ApiOkResponse({ type: ImageResponse })
  @DocumentedErrors(404)
  async get(@Caller() principal: Principal, @Id() id: number): Promise<ImageResponse> {
    return new ImageResponse(await this.images.get(principal.organizationId, id));
  }

  @Delete('images/:id')
  @ApiOperation({ operationId: 'delete_image', summary: 'Delete an image of your organization' })
  @ApiParam(ID)
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(403, 404)
  async delete(@Caller() principal: Principal, @Id() id: number): Promise<Envelope> {
    await this.images.delete(principal, id);
    return new Envelope('Image deleted successfully');
  }
}
