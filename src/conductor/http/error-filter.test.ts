import { describe, expect, it } from '@jest/globals';
import { QueryFailedError, QueryRunnerAlreadyReleasedError, QueryRunnerProviderAlreadyReleasedError } from 'typeorm';
import { ApiError } from './api-error.js';
import { toApiError } from './error-filter.js';

const refusedBy = (code: string): QueryFailedError =>
  new QueryFailedError('SELECT 1', [], Object.assign(new Error('secret detail'), { code }));

describe('what a client is told of an error', () => {
  it.each([
    ['a connection that was refused', Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })],
    ['a server that is shutting down', refusedBy('57P01')],
    ['a server that is starting up', refusedBy('57P03')],
    ['a deadlock', refusedBy('40P01')],
    ['a connection that broke', new Error('Connection terminated unexpectedly')],
    ['a connection that broke before', new Error('Client has encountered a connection error and is not queryable')],
    ['a transaction whose connection broke', new QueryRunnerAlreadyReleasedError()],
    ['a transaction whose connection broke between two statements', new QueryRunnerProviderAlreadyReleasedError()],
  ])('of %s is to come back shortly', (_, error) => {
    expect(toApiError(error)).toMatchObject({ status: 503, retryAfter: 2 });
  });

  it('of what nobody foresaw is that, and nothing of its text', () => {
    const told = toApiError(refusedBy('42P01'));
    expect(told.status).toBe(500);
    expect(told.message).not.toContain('secret');
  });

  it('of an error of the API is its own words', () => {
    const error = new ApiError(409, 'Taken.');
    expect(toApiError(error)).toBe(error);
  });
});
