/** Volumes: disks that outlive virtual machines. */
import { Module } from '@nestjs/common';
import { CallbacksModule } from '../callbacks/callbacks.module.js';
import { EgressModule } from '../egress/egress.module.js';
import { FleetModule } from '../fleet/fleet.module.js';
import { IdentityModule } from '../identity/identity.module.js';
import { TasksModule } from '../tasks/tasks.module.js';
import { VolumeAttachments } from './volume-attachments.js';
import { VolumeAttachmentsController } from './volume-attachments.controller.js';
import { VolumeCallbacksController } from './volume-callbacks.controller.js';
import { VolumeCallbacks } from './volume-callbacks.js';
import { VolumesController } from './volumes.controller.js';
import { VolumesService } from './volumes.service.js';

@Module({
  imports: [CallbacksModule, EgressModule, FleetModule, IdentityModule, TasksModule],
  controllers: [VolumesController, VolumeAttachmentsController, VolumeCallbacksController],
  providers: [VolumeAttachments, VolumeCallbacks, VolumesService],
  exports: [VolumeAttachments, VolumesService],
})
export class VolumesModule {}
