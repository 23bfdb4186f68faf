/** The record of who changed what. */
import { Module } from '@nestjs/common';
import { IdentityModule } from '../identity/identity.module.js';
import { AuditRetention } from './audit-retention.js';
import { AuditController } from './audit.controller.js';

@Module({ imports: [IdentityModule], controllers: [AuditController], providers: [AuditRetention] })
export class AuditModule {}
