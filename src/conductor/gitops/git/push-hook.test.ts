import { describe, expect, it } from '@jest/globals';
import { createHmac } from 'node:crypto';
import { isSigned, pushIn } from './push-hook.js';

const SECRET = 'the secret of this repository';
const AFTER = 'ab'.repeat(20);
const BODY = Buffer.from(JSON.stringify({ ref: 'refs/heads/main', after: AFTER }));
const hmac = (body: Buffer, secret = SECRET): string => createHmac('sha256', secret).update(body).digest('hex');

describe('the signature of a push', () => {
  it.each([
    ['GitHub', { 'x-hub-signature-256': `sha256=${hmac(BODY)}` }],
    ['Gitea', { 'x-gitea-signature': hmac(BODY) }],
    ['GitLab', { 'x-gitlab-token': SECRET }],
  ])('is known as %s makes it', (_forge, headers) => expect(isSigned(headers, BODY, SECRET)).toBe(true));

  it.each([
    ['is missing', {}],
    ['is empty', { 'x-hub-signature-256': '' }],
    ['is without its prefix', { 'x-hub-signature-256': hmac(BODY) }],
    ['is of another secret', { 'x-hub-signature-256': `sha256=${hmac(BODY, 'stolen')}` }],
    ['is the older SHA-1', { 'x-hub-signature': `sha1=${createHmac('sha1', SECRET).update(BODY).digest('hex')}` }],
    ['is of another body', { 'x-hub-signature-256': `sha256=${hmac(Buffer.from('{}'))}` }],
    ['is sent twice', { 'x-hub-signature-256': [`sha256=${hmac(BODY)}`, 'x'] }],
    ['is wrong beside a right one of another forge', { 'x-hub-signature-256': 'sha256=00', 'x-gitlab-token': SECRET }],
    ['is a wrong token', { 'x-gitlab-token': 'guess' }],
  ])('is refused when it %s', (_why, headers) => expect(isSigned(headers, BODY, SECRET)).toBe(false));
});

describe('a push', () => {
  it.each([
    ['GitHub', { 'x-github-event': 'push' }],
    ['Gitea', { 'x-gitea-event': 'push' }],
    ['GitLab', { 'x-gitlab-event': 'Push Hook' }],
  ])('of %s names its ref and commit', (_forge, headers) =>
    expect(pushIn(headers, BODY)).toEqual({ ref: 'refs/heads/main', commit: AFTER }),
  );

  it('that deletes a branch has no commit', () =>
    expect(pushIn({ 'x-github-event': 'push' }, Buffer.from(JSON.stringify({ ref: 'refs/heads/old', after: '0'.repeat(40) })))).toEqual({
      ref: 'refs/heads/old',
    }));

  it.each([
    ['a ping', { 'x-github-event': 'ping' }, BODY],
    ['no event', {}, BODY],
    ['no JSON', { 'x-github-event': 'push' }, Buffer.from('<xml/>')],
    ['JSON of another kind', { 'x-github-event': 'push' }, Buffer.from('null')],
    ['no ref', { 'x-github-event': 'push' }, Buffer.from('{"ref":7}')],
  ])('is not seen in %s', (_what, headers, body) => expect(pushIn(headers, body)).toBeUndefined());
});
