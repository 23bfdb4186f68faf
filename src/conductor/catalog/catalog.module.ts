/** What there is to choose from: regions, flavors, images and GPUs. */
import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { IdentityModule } from '../identity/identity.module.js';
import { DefaultChoicesController } from './default-choices.controller.js';
import { FlavorsController } from './flavors.controller.js';
import { FlavorsService } from './flavors.service.js';
import { GpusController } from './gpus.controller.js';
import { GpusService } from './gpus.service.js';
import { ImagesController } from './images.controller.js';
import { ImagesService } from './images.service.js';
import { Region } from './region.entity.js';
import { RegionsController } from './regions.controller.js';
import { RegionsService } from './regions.service.js';

@Module({
  imports: [IdentityModule, TypeOrmModule.forFeature([Region])],
  controllers: [RegionsController, FlavorsController, ImagesController, GpusController, DefaultChoicesController],
  providers: [RegionsService, FlavorsService, ImagesService, GpusService],
  exports: [ImagesService],
})
export class CatalogModule {}
