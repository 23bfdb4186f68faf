/**
 * The HTTP edge: Fastify under NestJS, one validation pipe, one error filter, one OpenAPI document. It knows no
 * feature; what it serves is the module it is given.
 */
import type { LoggerService, Type, DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { randomUUID } from 'node:crypto';
import { ErrorFilter, sendError } from './error-filter.js';
import { readFormBodies } from './form-body.js';
import { readJsonBodies } from './json-body.js';
import { streamBodies } from './streamed-body.js';
import { BodyValidation } from './validation-pipe.js';

/** Larger than the largest legitimate body: 64 KiB of user data as JSON, twenty labels and keys. */
const BODY_LIMIT_BYTES = 1024 * 1024;

export async function createApp(
  module: Type | DynamicModule,
  logger: LoggerService | false,
): Promise<NestFastifyApplication> {
  const adapter = new FastifyAdapter({
    bodyLimit: BODY_LIMIT_BYTES,
    // The peer's address is the one it connects from: no header can claim another.
    trustProxy: false,
    genReqId: () => randomUUID(),
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 200 },
    forceCloseConnections: 'idle',
    // What is refused before there is a route: a wrongly escaped path.
    frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply) => sendError(error, request, reply),
  });
  const app = await NestFactory.create<NestFastifyApplication>(module, adapter, {
    logger: logger === false ? false : logger,
    abortOnError: false,
    bodyParser: false,
  });
  const fastify = adapter.getInstance();
  fastify.addHook('onSend', async (request, reply) => {
    void reply.header('x-request-id', request.id);
  });
  // Ids are digits, so that they win over the names that may stand in the same place of a path.
  fastify.addHook('onRoute', (route) => {
    route.url = route.url.replace(/:(vm|cluster)_id/, (parameter) => `${parameter}(^\\d+$)`);
  });
  readJsonBodies(fastify);
  readFormBodies(fastify);
  streamBodies(fastify);
  app.useGlobalPipes(new BodyValidation());
  app.useGlobalFilters(new ErrorFilter());
  serveOpenApi(app);
  return app;
}

function serveOpenApi(app: NestFastifyApplication): void {
  const description = new DocumentBuilder()
    .setTitle('Baton')
    .setDescription('An open, self-hosted cloud with an API that Infrahub clients can use unchanged.')
    .setVersion('1')
    .addBearerAuth({ type: 'http', scheme: 'bearer' }, 'accessToken')
    .addApiKey({ type: 'apiKey', in: 'header', name: 'api_key' }, 'apiKey')
    .addSecurityRequirements('apiKey')
    .addSecurityRequirements('accessToken')
    .build();
  SwaggerModule.setup('docs', app, () => SwaggerModule.createDocument(app, description), {
    jsonDocumentUrl: 'openapi.json',
    yamlDocumentUrl: 'openapi.yaml',
  });
}
