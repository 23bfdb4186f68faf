/**
 * Errors are part of the API: each has an HTTP status, Infrahub's `error_reason` for it, and a message that says what
 * to do. Only these reach a client with their text; anything else becomes a 500 without detail (see error-filter.ts).
 */
export const ERROR_REASONS = {
  400: 'bad_request',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  405: 'not_allowed',
  409: 'already_exist',
  413: 'payload_too_large',
  415: 'unsupported_media_type',
  422: 'unprocessable',
  429: 'too_many_requests',
  500: 'server_error',
  501: 'not_implemented',
  503: 'unavailable',
} as const;

export type ErrorStatus = keyof typeof ERROR_REASONS;

export class ApiError extends Error {
  constructor(
    readonly status: ErrorStatus,
    message: string,
    readonly reason: string = ERROR_REASONS[status],
    /** Seconds, for `Retry-After`. */
    readonly retryAfter?: number,
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

export const badRequest = (message: string): ApiError => new ApiError(400, message);
/** The same words for what does not exist and for what belongs to somebody else. */
export const notFound = (what: string): ApiError =>
  new ApiError(404, `${what} was not found. Check the name or id, and that the API key belongs to its organization.`);
export const alreadyExists = (message: string): ApiError => new ApiError(409, message);
