/** What there is to choose from: regions, flavors and images. */
import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { IdentityModule } from '../identity/identity.module.js';
import { FlavorsController } from './flavors.controller.js';
import { FlavorsService } from './flavors.service.js';
import { ImagesController } from './images.controller.js';
import { ImagesService } from './images.service.js';
import { Region } from './region.entity.js';
import { RegionsController } from './regions.controller.js';
import { RegionsService } from './regions.service.js';

@Module({
  imports: [IdentityModule, TypeOrmModule.forFeature([Region])],
  controllers: [RegionsController, FlavorsController, ImagesController],
  providers: [RegionsService, FlavorsService, ImagesService],
})
export class CatalogModule {}
