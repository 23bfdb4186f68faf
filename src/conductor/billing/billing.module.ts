/** The price book, and usage with what it costs. */
import { Module } from '@nestjs/common';
import { IdentityModule } from '../identity/identity.module.js';
import { BillingController } from './billing.controller.js';
import { FlavorHoursController } from './flavor-hours.controller.js';
import { PricebookController } from './pricebook.controller.js';
import { UsageService } from './usage.service.js';

@Module({
  imports: [IdentityModule],
  controllers: [PricebookController, BillingController, FlavorHoursController],
  providers: [UsageService],
})
export class BillingModule {}
