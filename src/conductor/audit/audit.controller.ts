/** `/v1/audit`, an addition to Infrahub's API: who changed what in the organization, when, and from where. */
import { Controller, Get, Query, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { DataSource } from 'typeorm';
import { readTime } from '../billing/window.js';
import { DocumentedErrors } from '../http/documented-errors.js';
import { pageOf } from '../http/page-query.js';
import { ApiKeyGuard } from '../identity/api-key.strategy.js';
import { Caller, type Principal } from '../identity/principal.js';
import { AuditQuery } from './audit.requests.js';
import { AuditResponse } from './audit.responses.js';
import { readAudit } from './read-audit.js';

/** It only grows: it is never given whole. */
const FIRST_PAGE = { page: 1, pageSize: 100 };

@ApiTags('Audit')
@UseGuards(ApiKeyGuard)
@Controller('v1/audit')
export class AuditController {
  constructor(private readonly dataSource: DataSource) {}

  @Get()
  @ApiOperation({ operationId: 'list_audit', summary: 'Who changed what, the latest first; 100 unless a page is asked for' })
  @ApiOkResponse({ type: AuditResponse })
  @DocumentedErrors(403)
  async list(@Caller() { organizationId }: Principal, @Query() query: AuditQuery): Promise<AuditResponse> {
    const page = pageOf(query) ?? FIRST_PAGE;
    const filter = {
      since: readTime('start_date', query.start_date),
      until: readTime('end_date', query.end_date),
      userId: query.user_id,
      resource: query.resource,
      resourceId: query.resource_id,
      requestId: query.request_id,
    };
    const { rows, count } = await readAudit(this.dataSource, organizationId, filter, page);
    return new AuditResponse(rows, count, page);
  }
}
