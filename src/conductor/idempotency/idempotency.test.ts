import { describe, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';
import type { OrganizationId } from '../../protocol/ids.js';
import { Idempotency } from './idempotency.js';

const OURS = 1 as OrganizationId;

/** The table, as far as a look at one key goes. */
const idempotency = (rows: { key: string; request_hash: string; response: unknown }[] = []): Idempotency =>
  new Idempotency({
    query: async (_: string, [, key]: [number, string]) => rows.filter((row) => row.key === key),
  } as unknown as DataSource);

describe('an Idempotency-Key', () => {
  it('is none when the header is missing', () => {
    expect(idempotency().read(undefined, 'create', {})).toBeUndefined();
  });

  it.each(['a', 'x'.repeat(255), '5f3c-1', '!~'])('may be %s', (key) => {
    expect(idempotency().read(key, 'create', {})).toMatchObject({ key });
  });

  it.each(['', ' ', 'a b', 'a, b', 'x'.repeat(256), 'ü', 'a\n', '\u0000'])('may not be %j', (key) => {
    expect(() => idempotency().read(key, 'create', {})).toThrow('1 to 255 printable ASCII characters');
  });

  it('stands for one operation with one body', () => {
    const hash = (operation: string, body: unknown): string => idempotency().read('k', operation, body)!.requestHash;
    expect(hash('create', { count: 1 })).toBe(hash('create', { count: 1 }));
    expect(hash('create', { count: 1 })).not.toBe(hash('create', { count: 2 }));
    expect(hash('create', { count: 1 })).not.toBe(hash('delete', { count: 1 }));
  });

  it('finds the first answer to the same request, and nothing when there was none', async () => {
    const request = idempotency().read('k', 'create', {})!;
    const remembering = idempotency([{ key: 'k', request_hash: request.requestHash, response: { id: 1 } }]);
    expect(await remembering.firstAnswer(OURS, request)).toEqual({ id: 1 });
    expect(await idempotency().firstAnswer(OURS, request)).toBeUndefined();
  });

  it('is refused with 422 when it stood for another request', async () => {
    const remembering = idempotency([{ key: 'k', request_hash: 'of another', response: {} }]);
    const request = remembering.read('k', 'create', {})!;
    await expect(remembering.firstAnswer(OURS, request)).rejects.toMatchObject({ status: 422 });
  });
});
