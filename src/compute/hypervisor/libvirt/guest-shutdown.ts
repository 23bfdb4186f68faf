/** Shutting a guest down: by its power button, and by its plug when it does not listen. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { DomainIdentity } from '../hypervisor.js';
import type { LibvirtConnection } from './connection.js';
import type { OwnDomains } from './own-domains.js';

const DEFAULT_TIMEOUT_MS = 30_000;
const LOOK_EVERY_MS = 200;
/** A guest that is still booting misses the first press. */
const PRESS_AGAIN_MS = 5_000;

export class GuestShutdown {
  constructor(
    private readonly connection: Pick<LibvirtConnection, 'call'>,
    private readonly domains: OwnDomains,
    private readonly log: Logger,
    private readonly timeoutMs = DEFAULT_TIMEOUT_MS,
  ) {}

  /** Returns when it is off, or is none of this node's any more. */
  async shutDown(identity: DomainIdentity): Promise<void> {
    const startedAt = Date.now();
    let pressedAt = -Infinity;
    while (Date.now() - startedAt < this.timeoutMs) {
      if ((await this.domains.find(identity))?.state !== 'running') return;
      if (Date.now() - pressedAt >= PRESS_AGAIN_MS) {
        pressedAt = Date.now();
        await this.pressPowerButton(identity);
      }
      await delay(LOOK_EVERY_MS);
    }
    this.log.info({ vm: identity.vmUuid, limit: this.timeoutMs }, 'the guest did not shut down in time: powering it off');
    await this.connection.call('powerOff', identity.vmUuid);
  }

  private async pressPowerButton({ vmUuid }: DomainIdentity): Promise<void> {
    try {
      await this.connection.call('pressPowerButton', vmUuid);
    } catch (error) {
      // It may have gone off in this very moment; and a guest that cannot hear is powered off in the end.
      this.log.debug({ vm: vmUuid, error }, 'the power button could not be pressed');
    }
  }
}
