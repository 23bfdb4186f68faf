/** Who may do what for whom: users, their API keys, and the guard that every other feature puts before its routes. */
import { Module } from '@nestjs/common';
import { PassportModule } from '@nestjs/passport';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AccessTokensService } from './access-tokens.service.js';
import { ApiKeyGuard, ApiKeyStrategy } from './api-key.strategy.js';
import { ApiKeysController } from './api-keys.controller.js';
import { ApiKeysService } from './api-keys.service.js';
import { AuthController } from './auth.controller.js';
import { InvitesController } from './invites.controller.js';
import { InvitesService } from './invites.service.js';
import { OrganizationsController } from './organizations.controller.js';
import { OrganizationsService } from './organizations.service.js';
import { UserAccount } from './user-account.entity.js';
import { UsersService } from './users.service.js';

@Module({
  imports: [PassportModule, TypeOrmModule.forFeature([UserAccount])],
  controllers: [AuthController, ApiKeysController, OrganizationsController, InvitesController],
  providers: [ApiKeyStrategy, ApiKeyGuard, ApiKeysService, AccessTokensService, UsersService, OrganizationsService, InvitesService],
  exports: [PassportModule, ApiKeyStrategy, ApiKeyGuard],
})
export class IdentityModule {}
