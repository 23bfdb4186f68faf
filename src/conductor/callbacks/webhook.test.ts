import { describe, expect, it } from '@jest/globals';
import { createHmac } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { newSigningSecret, requestTarget, webhookHeaders } from './webhook.js';

const message = { id: '0197a2c4-0000-7000-8000-000000000001', body: '{"operation":{"name":"createInstance"},"é":1}' };

describe('a webhook', () => {
  it('is verified by a receiver with the Standard Webhooks library', () => {
    const secret = newSigningSecret();
    const headers = webhookHeaders(message, [secret], new Date());
    expect(new Webhook(secret).verify(message.body, headers)).toEqual(JSON.parse(message.body));
  });

  it('is signed over id, timestamp and body', () => {
    const secret = newSigningSecret();
    const headers = webhookHeaders(message, [secret], new Date(1_700_000_000_999));
    const expected = createHmac('sha256', Buffer.from(secret.slice('whsec_'.length), 'base64'))
      .update(`${message.id}.1700000000.${message.body}`)
      .digest('base64');
    expect(headers).toMatchObject({
      'webhook-id': message.id,
      'webhook-timestamp': '1700000000',
      'webhook-signature': `v1,${expected}`,
    });
  });

  it('is not verified when one byte of it changed', () => {
    const secret = newSigningSecret();
    const headers = webhookHeaders(message, [secret], new Date());
    expect(() => new Webhook(secret).verify(`${message.body} `, headers)).toThrow('No matching signature');
  });

  it('is verified by either secret while they rotate, and by no other', () => {
    const [old, current, foreign] = [newSigningSecret(), newSigningSecret(), newSigningSecret()];
    const headers = webhookHeaders(message, [current, old], new Date());
    for (const secret of [old, current]) expect(() => new Webhook(secret).verify(message.body, headers)).not.toThrow();
    expect(() => new Webhook(foreign).verify(message.body, headers)).toThrow('No matching signature');
  });

  it('says which version of Baton sent it', () =>
    expect(webhookHeaders(message, [newSigningSecret()], new Date())['user-agent']).toMatch(/^Baton\/\d+\.\d+\.\d+$/));
});

describe('a signing secret', () => {
  it('has 256 bits and is never the same', () => {
    const [one, other] = [newSigningSecret(), newSigningSecret()];
    expect(one).toMatch(/^whsec_[A-Za-z0-9+/]+=*$/);
    expect(Buffer.from(one.slice(6), 'base64')).toHaveLength(32);
    expect(one).not.toBe(other);
  });
});

describe('the target of a webhook', () => {
  it.each([
    ['https://example.com', 'https://example.com', '/'],
    ['https://example.com?Token=AbC', 'https://example.com', '/?Token=AbC'],
    [
      'HTTPS://Example.com:8443/a/../B/%2e%2E?q=\'"|{x}&T=AbC#part',
      'https://example.com:8443',
      '/a/../B/%2e%2E?q=\'"|{x}&T=AbC',
    ],
    ['http://[2606:4700::1111]/x', 'http://[2606:4700::1111]', '/x'],
  ])('keeps path and query of %s as they were given', (url, origin, path) =>
    expect(requestTarget(url)).toEqual({ origin, path }),
  );
});
