/**
 * The consoles of running guests: QEMU's screen by a descriptor that libvirt hands over, so that no path and no right is
 * needed; the serial line by a unix socket that libvirt makes for QEMU. Neither can be reached from a network.
 *
 * The sockets are in a folder under /run, because the path of a socket has at most 107 characters and a state folder may
 * be anywhere; each bears its incarnation's number, so that a late removal cannot take the present one.
 */
import { mkdir, rm } from 'node:fs/promises';
import { connect, Socket } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { HypervisorError, type DomainIdentity } from '../hypervisor.js';
import type { LibvirtConnection } from './connection.js';
import { serialSocketIn } from './domain-document.js';

const FOLDER = '/run/baton/serial';

export class GuestConsoles {
  constructor(private readonly connection: LibvirtConnection) {}

  async open(): Promise<void> {
    await mkdir(FOLDER, { recursive: true, mode: 0o755 });
  }

  serialSocketOf({ vmUuid, incarnationId }: DomainIdentity): string {
    return join(FOLDER, `${vmUuid}.${incarnationId}`);
  }

  async screen({ vmUuid }: DomainIdentity): Promise<Duplex> {
    return new Socket({ fd: await this.connection.call('openGraphics', vmUuid), readable: true, writable: true });
  }

  /** @throws HypervisorError for a domain that was made before its line could be reached. */
  async serialLine({ vmUuid }: DomainIdentity): Promise<Duplex> {
    const document = await this.connection.call('domainDocument', vmUuid, 'live');
    const path = document && serialSocketIn(document);
    if (!path)
      throw new HypervisorError('The serial console can be opened after the virtual machine was stopped and started once.', false);
    return await connected(path);
  }

  async remove(identity: DomainIdentity): Promise<void> {
    await rm(this.serialSocketOf(identity), { force: true });
  }
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(socket));
    socket.once('error', (error) =>
      reject(new HypervisorError('The serial console of the virtual machine does not answer.', true, { cause: error })),
    );
  });
}
