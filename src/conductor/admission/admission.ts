/**
 * The door of a conductor: bounds the requests in hand, so that a flood is refused at once (503, 429, with `Retry-After`)
 * and does not become a queue before the database in which everybody waits. Each lane below has slots of its own: tenants
 * never take those of operators and workers, and organizations share theirs fairly (`request-slots.ts`).
 *
 * A slot is taken when the body has been read and given back when there is an answer to send, however long the client
 * takes for either; a client that goes away gives back nothing that is still being worked on. Files that are uploaded
 * have a lane of their own, streams of answers and websockets none.
 *
 * Whose key it is says the database, at every request. What is remembered here of keys that were good only decides whose
 * slot it is before the database is asked, and that a good key is not refused because of wrong ones from its address.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ApiError } from '../http/api-error.js';
import { keyIn } from '../identity/key-in.js';
import { KeyAttempts } from './key-attempts.js';
import { RequestSlots, type Holder, type Refusal, type Slot } from './request-slots.js';

type Lane = 'tenants' | 'uploads' | 'workers' | 'operators' | 'guests';

/** Of `BATON_MAX_REQUESTS`. */
const PARTS: Readonly<Record<Lane, number>> = { tenants: 1, uploads: 1 / 8, workers: 1, operators: 1 / 8, guests: 1 / 2 };

/** Everything else is tenants'. */
const LANES: readonly { readonly path: RegExp; readonly lane: Lane | 'uncounted' }[] = [
  { path: /^\/(healthz|readyz)\b/, lane: 'uncounted' },
  { path: /^\/compute\//, lane: 'workers' },
  { path: /^\/admin\//, lane: 'operators' },
  { path: /^\/metadata\//, lane: 'guests' },
];

const FEWEST = 2;
const RETRY_SECONDS = 1;

declare module 'fastify' {
  interface FastifyRequest {
    admission?: RequestAdmission;
  }
}

/** What a guard tells of one request. */
export interface RequestAdmission {
  /** @throws ApiError 429 when too many wrong keys came from the address of this one. */
  beforeKey(key: string): void;
  keyIsWrong(key: string): void;
  /** @throws ApiError 429 when its holder has more than its share in hand. */
  keyIsGood(key: string, holder: Holder): void;
}

/** To be called before the application listens. */
export function admitRequests(fastify: FastifyInstance, maxRequests: number): void {
  const slots = Object.fromEntries(
    Object.entries(PARTS).map(([lane, part]) => [lane, new RequestSlots(Math.max(FEWEST, Math.floor(maxRequests * part)))]),
  ) as Record<Lane, RequestSlots>;
  const keys = { workers: new KeyAttempts(), tenants: new KeyAttempts() };
  const inHand = new WeakMap<FastifyRequest, Slot>();

  const leave = (request: FastifyRequest): void => inHand.get(request)?.leave();

  fastify.addHook('preValidation', async (request, reply) => {
    const lane = laneOf(request);
    if (lane === 'uncounted') return;
    const attempts = lane === 'workers' ? keys.workers : keys.tenants;
    const address = request.socket.remoteAddress ?? '';
    const key = keyIn(request.headers);
    const slot = slots[lane].enter((key !== undefined && attempts.holderOf(key)) || 'unknown');
    if (typeof slot === 'string') throw refused(slot);
    inHand.set(request, slot);
    leaveIfTakenOver(reply, slot);
    request.admission = {
      beforeKey: (given) => attempts.before(address, given),
      keyIsWrong: (given) => attempts.failed(address, given),
      keyIsGood: (given, holder) => {
        attempts.succeeded(given, holder);
        const refusal = slot.turnsOutToBe(holder);
        if (refusal !== undefined) throw refused(refusal);
      },
    };
  });
  fastify.addHook('onSend', async (request) => leave(request));
  fastify.addHook('onResponse', async (request) => leave(request));
}

function laneOf(request: FastifyRequest): Lane | 'uncounted' {
  if ((request.routeOptions.config as { readonly streamed?: boolean } | undefined)?.streamed === true) return 'uploads';
  return LANES.find(({ path }) => path.test(request.url))?.lane ?? 'tenants';
}

/** A reply that its handler writes by itself passes no hook. */
function leaveIfTakenOver(reply: FastifyReply, slot: Slot): void {
  reply.raw.once('close', () => {
    if (reply.sent) slot.leave();
  });
}

const refused = (refusal: Refusal): ApiError =>
  refusal === 'full'
    ? new ApiError(503, 'The conductor has as many requests in hand as it takes. Try again shortly.', undefined, RETRY_SECONDS)
    : new ApiError(
        429,
        'Your organization has more requests in hand than its share. Send fewer at the same time, and try this one again shortly.',
        undefined,
        RETRY_SECONDS,
      );
