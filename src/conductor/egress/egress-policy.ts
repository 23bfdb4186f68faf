/** The guard of egress as the conductor's configuration has it; what it refuses is the API's 400. */
import { Injectable } from '@nestjs/common';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import { GuardedEgress } from '../../egress/guarded-egress.js';
import { badRequest } from '../http/api-error.js';

@Injectable()
export class EgressPolicy extends GuardedEgress {
  constructor(@InjectConfig() config: Pick<Config, 'egressAllow'>) {
    super(config.egressAllow);
  }

  /** @throws ApiError 400 for a URL that could never be connected to. */
  checkUrl(url: string): void {
    const refusal = this.refusalOf(url);
    if (refusal !== undefined) throw badRequest(refusal);
  }
}
