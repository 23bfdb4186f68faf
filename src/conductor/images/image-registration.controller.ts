/** What `/v1/core/images` has beyond Infrahub's: images of one's own, by URL or uploaded. */
import { Body, Controller, Headers, HttpCode, Param, Post, Put, Req, UseGuards } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiBody, ApiConsumes, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { ImageId } from '../../protocol/ids.js';
import { ImageResponse } from '../catalog/image.responses.js';
import { DocumentedErrors } from '../http/documented-errors.js';
import { ResourceId } from '../http/resource-id.js';
import { STREAMED, streamedBody } from '../http/streamed-body.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { ImageRegistration } from './image-registration.js';
import { ImageUploads } from './image-uploads.js';
import { RegisterImagePayload } from './image.requests.js';

@ApiTags('Image')
@UseGuards(ApiKeyGuard)
@Controller('v1/core/images')
export class ImageRegistrationController {
  constructor(
    private readonly registration: ImageRegistration,
    private readonly uploads: ImageUploads,
  ) {}

  @Post()
  @HttpCode(200)
  @ApiOperation({ operationId: 'register_image', summary: 'Register an image of your own, by URL or to be uploaded' })
  @ApiOkResponse({ type: ImageResponse })
  @DocumentedErrors(403, 404, 409)
  async register(@Caller() principal: Principal, @Body() body: RegisterImagePayload): Promise<ImageResponse> {
    return new ImageResponse(await this.registration.register(principal, body));
  }

  @Put(':id/file')
  @RouteConfig(STREAMED)
  @ApiOperation({ operationId: 'upload_image', summary: 'Upload the file of an image that waits for it' })
  @ApiParam({ name: 'id', type: 'integer' })
  @ApiConsumes('application/octet-stream')
  @ApiBody({ schema: { type: 'string', format: 'binary' } })
  @ApiOkResponse({ type: ImageResponse })
  @DocumentedErrors(403, 404, 409, 413, 415)
  async upload(
    @Caller() principal: Principal,
    @Param('id', new ResourceId('The image')) id: number,
    @Req() request: FastifyRequest,
    @Headers('content-length') length: string | undefined,
  ): Promise<ImageResponse> {
    const bytes = length === undefined ? undefined : Number(length);
    return new ImageResponse(await this.uploads.receive(principal, id as ImageId, streamedBody(request), bytes));
  }
}
