/**
 * The metadata service, as cloud-init's NoCloud data source reads it: `…/metadata/TOKEN/UUID/` is a guest's seed. It
 * has no other authentication, and no header has a say in whose metadata is served. Whatever is wrong, the answer is
 * the same 404.
 */
import { Body, Controller, Get, Param, Post, Req, Res } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { FailedAttempts, LOOKUPS } from '../admission/failed-attempts.js';
import { metaData, NETWORK_CONFIG, openstackMetaData, VENDOR_DATA } from './documents.js';
import { MetadataService, type Guest } from './metadata.service.js';

const LARGEST_PHONE_HOME = 64 * 1024;

/** The documents of a seed, by name. */
const DOCUMENTS: Readonly<Record<string, (guest: Guest) => string>> = {
  'meta-data': metaData,
  'user-data': (guest) => guest.userData,
  'vendor-data': () => VENDOR_DATA,
  'network-config': () => NETWORK_CONFIG,
  openstack: openstackMetaData,
};

@ApiExcludeController()
@Controller('metadata/:token/:uuid')
export class MetadataController {
  private readonly failed = new FailedAttempts(LOOKUPS);

  constructor(private readonly metadata: MetadataService) {}

  @Get(':document')
  async document(
    @Param() path: { token: string; uuid: string; document: string },
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const write = Object.hasOwn(DOCUMENTS, path.document) ? DOCUMENTS[path.document] : undefined;
    const guest = write && (await this.metadata.guest(path.token, path.uuid));
    if (write === undefined || guest === undefined) this.refuse(request, reply);
    else answer(reply, 200, write(guest));
  }

  @Post('phone-home')
  async phoneHome(
    @Param() path: { token: string; uuid: string },
    @Body() body: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const guest = await this.metadata.guest(path.token, path.uuid);
    if (guest === undefined) return this.refuse(request, reply);
    if (sizeOf(request, body) > LARGEST_PHONE_HOME) return answer(reply, 413, 'At most 64 KiB are read.\n');
    await this.metadata.phoneHome(guest, hostnameIn(body));
    answer(reply, 200, 'ok\n');
  }

  private refuse(request: FastifyRequest, reply: FastifyReply): void {
    // The peer of the socket itself: `request.ip` may be what a header claims.
    const wait = this.failed.add(request.socket.remoteAddress ?? '');
    if (wait === undefined) answer(reply, 404, 'Not found\n');
    else answer(reply.header('retry-after', String(wait)), 429, 'Too many requests\n');
  }
}

function answer(reply: FastifyReply, status: number, text: string): void {
  void reply
    .status(status)
    .header('content-type', 'text/plain; charset=utf-8')
    .header('cache-control', 'no-store')
    .send(text);
}

const sizeOf = (request: FastifyRequest, body: unknown): number =>
  Number(request.headers['content-length'] ?? Buffer.byteLength(JSON.stringify(body) ?? ''));

function hostnameIn(body: unknown): string | undefined {
  const hostname = (body as { hostname?: unknown } | null | undefined)?.hostname;
  return typeof hostname === 'string' ? hostname : undefined;
}
