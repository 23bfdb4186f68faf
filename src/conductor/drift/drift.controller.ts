/** Drift over REST, for operators with the operator key. */
import { Controller, Get, Query, UseGuards } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { IsOptional } from 'class-validator';
import { DataSource } from 'typeorm';
import { OperatorKeyGuard } from '../fleet/operator.controller.js';
import { IsQueryBoolean } from '../http/query-boolean.js';
import { listDrift, type ListedDrift } from './drift-list.js';

export class DriftQuery {
  /** Also what is over. */
  @IsOptional()
  @IsQueryBoolean()
  all?: boolean;
}

@Controller('admin/drift')
@ApiExcludeController()
@UseGuards(OperatorKeyGuard)
export class DriftController {
  constructor(private readonly dataSource: DataSource) {}

  @Get()
  async list(@Query() { all = false }: DriftQuery): Promise<{ status: true; message: string; drift: ListedDrift[] }> {
    return { status: true, message: 'Getting drift successful', drift: await listDrift(this.dataSource, { all }) };
  }
}
