/** What every guard that reads a key from the database does around that: wrong keys are limited, good ones counted. */
import { UnauthorizedException } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { keyIn } from '../identity/key-in.js';
import type { Holder } from './request-slots.js';

/** @param holder asked once the key has turned out to be good. @throws ApiError 429, and what `authenticate` throws. */
export async function admitKey(request: FastifyRequest, authenticate: () => unknown, holder: () => Holder): Promise<void> {
  const key = keyIn(request.headers);
  const { admission } = request;
  if (key !== undefined) admission?.beforeKey(key);
  try {
    await authenticate();
  } catch (error) {
    if (key !== undefined && error instanceof UnauthorizedException) admission?.keyIsWrong(key);
    throw error;
  }
  if (key !== undefined) admission?.keyIsGood(key, holder());
}
