import { Module } from '@nestjs/common';
import { EgressModule } from '../egress/egress.module.js';
import { CallbackDeliverer } from './callback-deliverer.js';
import { CallbacksController } from './callbacks.controller.js';
import { CallbacksService } from './callbacks.service.js';
import { DeliveryQueue } from './delivery-queue.js';
import { SigningSecretsService } from './signing-secrets.service.js';
import { WebhookSender } from './webhook-sender.js';

@Module({
  imports: [EgressModule],
  controllers: [CallbacksController],
  providers: [CallbackDeliverer, CallbacksService, DeliveryQueue, SigningSecretsService, WebhookSender],
  exports: [CallbackDeliverer],
})
export class CallbacksModule {}
