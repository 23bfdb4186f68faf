/**
 * The parts of Infrahub's API that Baton leaves out, told apart from typing mistakes: with a key, every path below
 * them answers 501 and says what it is. They are not in the OpenAPI document, which lists what works.
 */
import { All, Controller, Req, UseGuards } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { ApiError } from '../http/api-error.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';

/** Each path stands for itself and for everything below it. */
export const NOT_OFFERED: Readonly<Record<string, string>> = {
  billing: 'Credit, invoices, notifications of cost and the cost of parts',
  payment: 'Payments',
  'core/clusters': 'Kubernetes clusters',
  'core/compliance': 'GPU compliance rules',
  'core/contracts': 'Contracts',
  'core/fip-detachment-exclusions': 'Exclusions from the detachment of floating IPs',
  'core/marketplace': 'Marketplace templates and deployments',
};

const PATHS = Object.keys(NOT_OFFERED);

@Controller('v1')
@ApiExcludeController()
@UseGuards(ApiKeyGuard)
export class NotOfferedController {
  @All(PATHS.flatMap((path) => [path, `${path}/*`]))
  refuse(@Req() request: FastifyRequest): never {
    const asked = request.url.slice('/v1/'.length);
    const path = PATHS.find((candidate) => asked.startsWith(candidate))!;
    throw new ApiError(501, `${NOT_OFFERED[path]} are part of Infrahub's API that Baton does not offer. See /docs for what it does.`);
  }
}
