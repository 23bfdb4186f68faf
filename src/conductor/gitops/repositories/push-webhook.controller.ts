/**
 * Where forges tell of pushes: GitHub, GitLab, Gitea and Forgejo alike. There is no API key; the signature over the bytes
 * that came is the proof, and what it proves is only that it is worth to look.
 */
import { Controller, HttpCode, Param, Post, Req } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { DocumentedErrors } from '../../http/documented-errors.js';
import { Envelope } from '../../http/envelope.js';
import { rawBodyOf } from '../../http/json-body.js';
import { ResourceId } from '../../http/resource-id.js';
import { PushesService } from './pushes.service.js';

@ApiTags('Git as desired state')
@Controller(['gitops/git-repo', 'v1/gitops/git-repo'])
export class PushWebhookController {
  constructor(private readonly pushes: PushesService) {}

  @Post(':id/github-webhook')
  @HttpCode(200)
  @ApiOperation({ summary: 'For forges: something was pushed', description: 'Signed with the webhook secret of the repository; content type application/json.' })
  @ApiParam({ name: 'id', type: 'integer' })
  @ApiOkResponse({ type: Envelope })
  @DocumentedErrors(404)
  async pushed(@Param('id', new ResourceId('A Git repository with this signature')) id: number, @Req() request: FastifyRequest): Promise<Envelope> {
    const looked = await this.pushes.pushed(id, request.headers, rawBodyOf(request));
    return new Envelope(looked ? 'Looking at the branch' : 'Not the branch that is followed; nothing is done');
  }
}
