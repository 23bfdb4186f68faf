/**
 * The parts of Infrahub's API that Baton leaves out, told apart from typing mistakes: with a key, each of these paths
 * answers 501 and says what it is. They are not in the OpenAPI document, which lists what works.
 */
import { All, Controller, Patch, Req, UseGuards } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { ApiError } from '../http/api-error.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';

/** Each path stands for itself and for everything below it. */
const NOT_OFFERED: Readonly<Record<string, string>> = {
  'auth/beta-access': 'Requests for beta access',
  'auth/email': 'Preferences of e-mail',
  'auth/partner-config': 'Configurations of partners',
  'auth/user-consent': 'Consents of users',
  'auth/user-consent-events': 'Consents of users',
  billing: 'Credit, invoices, notifications of cost and the cost of parts',
  payment: 'Payments',
  'core/clusters': 'Kubernetes clusters',
  'core/compliance': 'GPU compliance rules',
  'core/contracts': 'Contracts',
  'core/fip-detachment-exclusions': 'Exclusions from the detachment of floating IPs',
  'core/marketplace': 'Marketplace templates and deployments',
  'object-storage': 'Object storage',
  'pricebook/contracts': 'Contracts',
};

const PATHS = Object.keys(NOT_OFFERED);

@Controller('v1')
@ApiExcludeController()
@UseGuards(ApiKeyGuard)
export class NotOfferedController {
  @All(PATHS.flatMap((path) => [path, `${path}/*`]))
  refuse(@Req() request: FastifyRequest): never {
    const asked = `${request.url.slice('/v1/'.length).split('?')[0]}/`;
    throw notOffered(NOT_OFFERED[PATHS.find((path) => asked.startsWith(`${path}/`))!]!);
  }

  @All('core/virtual-machines/contract/:contract_id/virtual-machines')
  refuseContract(): never {
    throw notOffered('Contracts');
  }

  /** Of this method alone: what is below `virtual-machines` are environments and VMs too. */
  @Patch('core/virtual-machines/:vm_id/enhanced-metrics')
  refuseEnhancedMetrics(): never {
    throw notOffered('Metrics from inside of guests');
  }
}

export const notOffered = (what: string): ApiError =>
  new ApiError(501, `${what} are part of Infrahub's API that Baton does not offer. See /docs for what it does.`);
