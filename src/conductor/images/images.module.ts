/** Images of organizations: registered by URL or uploaded, looked at, kept, and cleared away. */
import { Module } from '@nestjs/common';
import { CatalogModule } from '../catalog/catalog.module.js';
import { EgressModule } from '../egress/egress.module.js';
import { IdentityModule } from '../identity/identity.module.js';
import { ImageFetches } from './image-fetches.js';
import { ImageRegistrationController } from './image-registration.controller.js';
import { ImageRegistration } from './image-registration.js';
import { ImageStore } from './image-store.js';
import { ImageUpkeep } from './image-upkeep.js';
import { ImageUploads } from './image-uploads.js';

@Module({
  imports: [IdentityModule, CatalogModule, EgressModule],
  controllers: [ImageRegistrationController],
  providers: [ImageRegistration, ImageUploads, ImageStore, ImageFetches, ImageUpkeep],
  exports: [ImageFetches, ImageStore],
})
export class ImagesModule {}
