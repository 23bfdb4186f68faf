import { Module } from '@nestjs/common';
import { EgressPolicy } from './egress-policy.js';

@Module({ providers: [EgressPolicy], exports: [EgressPolicy] })
export class EgressModule {}
