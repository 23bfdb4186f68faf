/** Environments: the projects of an organization. */
import { Module } from '@nestjs/common';
import { IdentityModule } from '../identity/identity.module.js';
import { EnvironmentsController } from './environments.controller.js';
import { EnvironmentsService } from './environments.service.js';

@Module({
  imports: [IdentityModule],
  controllers: [EnvironmentsController],
  providers: [EnvironmentsService],
  exports: [EnvironmentsService],
})
export class EnvironmentsModule {}
