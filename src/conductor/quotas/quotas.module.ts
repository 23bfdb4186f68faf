/** How much of everything an organization may have. */
import { Module } from '@nestjs/common';
import { IdentityModule } from '../identity/identity.module.js';
import { QuotasController } from './quotas.controller.js';
import { QuotasService } from './quotas.service.js';

@Module({ imports: [IdentityModule], controllers: [QuotasController], providers: [QuotasService], exports: [QuotasService] })
export class QuotasModule {}
