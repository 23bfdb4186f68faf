/** Keypairs: the public SSH keys that VMs are given. */
import { Module } from '@nestjs/common';
import { IdentityModule } from '../identity/identity.module.js';
import { KeypairsController } from './keypairs.controller.js';
import { KeypairsService } from './keypairs.service.js';

@Module({
  imports: [IdentityModule],
  controllers: [KeypairsController],
  providers: [KeypairsService],
  exports: [KeypairsService],
})
export class KeypairsModule {}
