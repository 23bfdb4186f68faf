/**
 * Request bodies that are files: handed on as the stream they come in, to those routes alone that say so. What such a
 * route refuses before all of the body was read ends the connection, for nobody wants to read the rest.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Readable } from 'node:stream';
import { ApiError } from './api-error.js';

/** For `@RouteConfig`. */
export const STREAMED = { streamed: true } as const;

const isStreamed = (request: FastifyRequest): boolean =>
  (request.routeOptions.config as { readonly streamed?: boolean }).streamed === true;

const wrongType = (request: FastifyRequest): ApiError =>
  new ApiError(
    415,
    isStreamed(request)
      ? 'Send the file itself as the body, with the header Content-Type: application/octet-stream.'
      : 'Send the body as JSON, with the header Content-Type: application/json.',
  );

export function streamBodies(fastify: FastifyInstance): void {
  fastify.addContentTypeParser('application/octet-stream', (request, payload, done) => {
    if (isStreamed(request)) done(null, payload);
    else done(wrongType(request));
  });
  fastify.addHook('onSend', async (request, reply) => {
    if (request.body instanceof Readable && !request.body.readableEnded) void reply.header('connection', 'close');
  });
}

/** @throws ApiError 415 when the body is something else. */
export function streamedBody(request: FastifyRequest): Readable {
  if (request.body instanceof Readable) return request.body;
  throw wrongType(request);
}
