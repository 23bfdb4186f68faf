/** Serves the pages of consoles. They hold no secret and know no VM: what they show is decided by the ticket. */
import { Controller, Get, OnModuleInit, Param, Res } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { notFound } from '../http/api-error.js';
import { ConsolePages } from './console-pages.js';

const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self' ws: wss:; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
} as const;

@Controller('consoles')
@ApiExcludeController()
export class ConsolePagesController implements OnModuleInit {
  private pages: ConsolePages;

  async onModuleInit(): Promise<void> {
    this.pages = await ConsolePages.list();
  }

  @Get('vnc')
  vnc(@Res() reply: FastifyReply): Promise<void> {
    return this.send('assets/own/vnc.html', 'no-store', reply);
  }

  @Get('serial')
  serial(@Res() reply: FastifyReply): Promise<void> {
    return this.send('assets/own/serial.html', 'no-store', reply);
  }

  @Get('assets/*')
  asset(@Param('*') path: string, @Res() reply: FastifyReply): Promise<void> {
    return this.send(`assets/${path}`, 'public, max-age=600', reply);
  }

  private async send(address: string, caching: string, reply: FastifyReply): Promise<void> {
    const file = await this.pages.find(address);
    if (file === undefined) throw notFound('This page');
    await reply.headers({ ...HEADERS, 'cache-control': caching, 'content-type': file.contentType }).send(file.content);
  }
}
