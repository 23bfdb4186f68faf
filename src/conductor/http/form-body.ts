/** Form bodies: what cloud-init and other guests phone home with. */
import type { FastifyInstance } from 'fastify';

export function readFormBodies(fastify: FastifyInstance): void {
  fastify.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) => {
    done(null, Object.fromEntries(new URLSearchParams(body as string)));
  });
}
