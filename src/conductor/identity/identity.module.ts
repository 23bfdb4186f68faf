/** Who may do what for whom: users, their API keys, and the guard that every other feature puts before its routes. */
import { Module } from '@nestjs/common';
import { PassportModule } from '@nestjs/passport';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ApiKeyGuard, ApiKeyStrategy } from './api-key.strategy.js';
import { ApiKeysController } from './api-keys.controller.js';
import { ApiKeysService } from './api-keys.service.js';
import { AuthController } from './auth.controller.js';
import { UserAccount } from './user-account.entity.js';
import { UsersService } from './users.service.js';

@Module({
  imports: [PassportModule, TypeOrmModule.forFeature([UserAccount])],
  controllers: [AuthController, ApiKeysController],
  providers: [ApiKeyStrategy, ApiKeyGuard, ApiKeysService, UsersService],
  exports: [PassportModule, ApiKeyStrategy, ApiKeyGuard],
})
export class IdentityModule {}
