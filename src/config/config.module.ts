/** Gives the process's configuration to whatever asks for `CONFIG`. */
import { DynamicModule, Global, Inject, Module } from '@nestjs/common';
import type { Config } from './settings.js';

const CONFIG = Symbol('config');

export const InjectConfig = (): ParameterDecorator => Inject(CONFIG);

@Global()
@Module({})
export class ConfigModule {
  static of(config: Config): DynamicModule {
    const provider = { provide: CONFIG, useValue: config };
    return { module: ConfigModule, providers: [provider], exports: [provider] };
  }
}
