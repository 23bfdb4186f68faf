/** Roles, and who has them. The guard that asks for permissions is the API key's own: see `identity/`. */
import { Module } from '@nestjs/common';
import { IdentityModule } from '../identity/identity.module.js';
import { RolesController } from './roles.controller.js';
import { RolesService } from './roles.service.js';
import { UserRolesController } from './user-roles.controller.js';

@Module({ imports: [IdentityModule], controllers: [RolesController, UserRolesController], providers: [RolesService] })
export class AccessModule {}
