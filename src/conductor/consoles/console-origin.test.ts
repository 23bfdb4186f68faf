import { describe, expect, it } from '@jest/globals';
import { isOwnOrigin, pageAddress } from './console-origin.js';

describe('the origin of a websocket', () => {
  it.each([
    ['no browser at all', undefined, 'cloud.example:8080', undefined, true],
    ['the page that we serve', 'http://cloud.example:8080', 'cloud.example:8080', undefined, true],
    ['our page behind a proxy that ends TLS', 'https://cloud.example', 'cloud.example', undefined, true],
    ['another site', 'https://evil.example', 'cloud.example', undefined, false],
    ['another port', 'http://cloud.example:81', 'cloud.example', undefined, false],
    ['a name that ends like ours', 'https://evilcloud.example', 'cloud.example', undefined, false],
    ['a sandboxed frame', 'null', 'cloud.example', undefined, false],
    ['the configured address, whatever the proxy made of Host', 'https://cloud.example', 'conductor:8080', 'https://cloud.example/', true],
    ['the proxied name, where another is configured', 'http://conductor:8080', 'conductor:8080', 'https://cloud.example', false],
    ['the configured name without TLS', 'http://cloud.example', 'cloud.example', 'https://cloud.example', false],
  ])('of %s', (_what, origin, host, publicUrl, own) => {
    expect(isOwnOrigin({ ...(origin !== undefined && { origin }), host }, publicUrl)).toBe(own);
  });
});

describe('the address of a page', () => {
  it('is as configured, else as it was asked for', () => {
    expect(pageAddress('http', 'cloud.example:8080', undefined)).toBe('http://cloud.example:8080');
    expect(pageAddress('http', 'conductor:8080', 'https://cloud.example/api/')).toBe('https://cloud.example/api');
  });
});
