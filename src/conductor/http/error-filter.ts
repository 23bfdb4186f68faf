/**
 * Turns every error into the envelope `{status: false, message, error_reason}`. What we did not foresee is logged with
 * its request id and shown as a 500 without its text, because exception text may carry secrets.
 */
import { ArgumentsHost, Catch, ExceptionFilter, HttpException, Logger } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { QueryFailedError } from 'typeorm';
import { sqlState } from '../database/database-error.js';
import { quotaRefusal } from '../quotas/quota-refusal.js';
import { ApiError, ERROR_REASONS, type ErrorStatus } from './api-error.js';

const logger = new Logger('http');

/** Connection lost, shutting down, starting up, too many connections, a lost race of locks: it will work again. */
const DATABASE_UNAVAILABLE = /^(08|57P|53300|40001|40P01|ECONN|ENOTFOUND|EPIPE|ETIMEDOUT)/;

/** The same, where the driver or TypeORM says it in words alone. */
const CONNECTION_LOST =
  /Connection terminated|not queryable|[Qq]uery runner (was )?already released|timeout exceeded when trying to connect/;

/** NUL, which no PostgreSQL text can hold: as a parameter, and within JSON. */
const UNTRANSLATABLE: ReadonlySet<string | undefined> = new Set(['22021', '22P05']);

const NO_SUCH_PATH = 'There is no such path. See /docs for those that there are.';

function isDatabaseUnavailable(error: unknown): boolean {
  const cause = error instanceof QueryFailedError ? (error.driverError as unknown) : error;
  if (!(cause instanceof Error)) return false;
  const code = (cause as { code?: unknown }).code;
  return (
    (typeof code === 'string' && DATABASE_UNAVAILABLE.test(code)) ||
    CONNECTION_LOST.test(cause.message)
  );
}

const tooLarge = (): ApiError =>
  new ApiError(413, 'The request body is too large: at most 1 MiB, of which user_data at most 64 KiB.');

const notJson = (): ApiError => new ApiError(415, 'Send the body as JSON, with the header Content-Type: application/json.');

/** What Fastify and Nest themselves refuse: body too large, not JSON, no such route. */
function fromFramework(error: { statusCode?: number; message: string; code?: string }): ApiError | undefined {
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return tooLarge();
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return notJson();
    case 'FST_ERR_BAD_URL':
      return new ApiError(400, 'The path is wrongly escaped.');
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return new ApiError(404, NO_SUCH_PATH);
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
      return new ApiError(400, 'The request body is not valid JSON.');
    case undefined:
      break;
  }
  if (error instanceof SyntaxError) return new ApiError(400, 'The request body is not valid JSON.');
  const status = error.statusCode;
  if (status === undefined || status < 400 || status > 499) return undefined;
  return new ApiError(status in ERROR_REASONS ? (status as ErrorStatus) : 400, error.message);
}

export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof HttpException) {
    const status = error.getStatus();
    if (status === 404) return new ApiError(404, NO_SUCH_PATH);
    if (status === 401)
      return new ApiError(401, 'Send a valid API key, in the header api_key or as Authorization: Bearer KEY.');
    if (status === 413) return tooLarge();
    if (status === 415) return notJson();
    if (status in ERROR_REASONS && status < 500) return new ApiError(status as ErrorStatus, error.message);
  }
  const refused = quotaRefusal(error);
  if (refused !== undefined) return refused;
  if (isDatabaseUnavailable(error))
    return new ApiError(503, 'The database cannot serve this request at the moment. Try again shortly.', undefined, 2);
  if (UNTRANSLATABLE.has(sqlState(error))) return new ApiError(400, 'Text may not contain NUL characters.');
  const known = error instanceof Error ? fromFramework(error) : undefined;
  return known ?? new ApiError(500, 'Something went wrong on our side. The operator finds it in the log by request id.');
}

export function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const apiError = toApiError(error);
  if (apiError.status >= 500)
    logger.error(
      `${request.method} ${request.url.split('?')[0]} [${request.id}]: ${error instanceof Error ? error.stack : String(error)}`,
    );
  if (apiError.retryAfter !== undefined) void reply.header('retry-after', String(apiError.retryAfter));
  if (apiError.status === 401) void reply.header('www-authenticate', 'Bearer realm="baton"');
  void reply
    .status(apiError.status)
    .header('content-type', 'application/json; charset=utf-8')
    .send({ status: false, message: apiError.message, error_reason: apiError.reason });
}

@Catch()
export class ErrorFilter implements ExceptionFilter {
  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    sendError(error, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>());
  }
}
