/** Volumes: disks that outlive virtual machines. */
import { Module } from '@nestjs/common';
import { IdentityModule } from '../identity/identity.module.js';
import { TasksModule } from '../tasks/tasks.module.js';
import { VolumeAttachments } from './volume-attachments.js';
import { VolumeAttachmentsController } from './volume-attachments.controller.js';
import { VolumesController } from './volumes.controller.js';
import { VolumesService } from './volumes.service.js';

@Module({
  imports: [IdentityModule, TasksModule],
  controllers: [VolumesController, VolumeAttachmentsController],
  providers: [VolumeAttachments, VolumesService],
})
export class VolumesModule {}
