/**
 * Reads request bodies as JSON. What a later layer could choke on is refused here: keys that reach for a prototype,
 * and nesting so deep that walking it by recursion would exhaust the stack.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { badRequest } from './api-error.js';

/** The deepest legitimate body has a handful of levels. */
const MOST_LEVELS = 32;

/** Of requests whose bytes are signed. */
const RAW = new WeakMap<object, Buffer>();
const SIGNED_BODIES = /-webhook\/?(\?|$)/;

/** The bytes as they came; none when there was no body. */
export const rawBodyOf = (request: FastifyRequest): Buffer => RAW.get(request) ?? Buffer.alloc(0);

export function readJsonBodies(fastify: FastifyInstance): void {
  const parse = fastify.getDefaultJsonParser('error', 'error');
  // Text would reach the validation as a string; saying 415 tells the client what it did.
  fastify.removeContentTypeParser('text/plain');
  fastify.removeContentTypeParser('application/json');
  fastify.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    // An empty body with the JSON content type is what several clients send with DELETE and action calls.
    if (body === '') return done(null, undefined);
    if (SIGNED_BODIES.test(request.url)) RAW.set(request, Buffer.from(body as string));
    void parse(request, body as string, (error, value) => {
      if (error) return done(badRequest('The request body is not valid JSON.'));
      if (isDeeperThan(MOST_LEVELS, value)) return done(badRequest(`The request body has more than ${MOST_LEVELS} levels.`));
      done(null, value);
    });
  });
}

function isDeeperThan(levels: number, value: unknown): boolean {
  let level = [value];
  for (let depth = 0; depth <= levels && level.length > 0; depth++)
    level = level.flatMap((item) => (typeof item === 'object' && item !== null ? Object.values(item) : []));
  return level.length > 0;
}
