import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EgressPolicy } from '../../egress/egress-policy.js';
import { CommitStatusPoster, statusRequest, type CommitStatus } from './commit-status.js';

const COMMIT = 'ab'.repeat(20);
const STATUS: CommitStatus = { state: 'failure', description: '3 to create, 1 refused', context: 'baton/production' };

describe('a commit status', () => {
  it.each([
    ['https://github.com/acme/cloud.git', undefined, `https://api.github.com/repos/acme/cloud/statuses/${COMMIT}`],
    ['git@github.com:acme/cloud.git', undefined, `https://api.github.com/repos/acme/cloud/statuses/${COMMIT}`],
    ['ssh://git@github.com:22/acme/cloud', undefined, `https://api.github.com/repos/acme/cloud/statuses/${COMMIT}`],
    ['https://git.example.org/acme/cloud', 'github', `https://git.example.org/api/v3/repos/acme/cloud/statuses/${COMMIT}`],
    ['https://gitlab.com/a/b/c.git', undefined, `https://gitlab.com/api/v4/projects/a%2Fb%2Fc/statuses/${COMMIT}`],
    ['https://codeberg.org/acme/cloud.git', undefined, `https://codeberg.org/api/v1/repos/acme/cloud/statuses/${COMMIT}`],
    ['http://127.0.0.1:3000/acme/cloud.git', 'gitea', `http://127.0.0.1:3000/api/v1/repos/acme/cloud/statuses/${COMMIT}`],
  ] as const)('of %s (%s) goes to %s', (url, forge, expected) =>
    expect(statusRequest({ url, forge, token: 't' }, COMMIT, STATUS)?.url.href).toBe(expected),
  );

  it('speaks of failure as the forge does', () => {
    const bodyFor = (url: string): object | undefined => statusRequest({ url, token: 't' }, COMMIT, STATUS)?.body;
    expect(bodyFor('https://github.com/a/b')).toMatchObject({ state: 'failure', context: 'baton/production' });
    expect(bodyFor('https://gitlab.com/a/b')).toMatchObject({ state: 'failed', name: 'baton/production' });
  });

  describe('is posted', () => {
    let server: Server;
    let received: { request: IncomingMessage; body: string }[];
    let status: number;
    const poster = (...egressAllow: string[]): CommitStatusPoster => new CommitStatusPoster(new EgressPolicy({ egressAllow }));
    const url = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}/acme/cloud.git`;

    beforeEach(async () => {
      received = [];
      status = 201;
      server = createServer((request, response) => {
        let body = '';
        request.on('data', (chunk: Buffer) => (body += chunk.toString()));
        request.on('end', () => {
          received.push({ request, body });
          response.writeHead(status, { location: 'http://127.0.0.1:1/' }).end('{"secret":"of the forge"}');
        });
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    });
    afterEach(() => new Promise((resolve) => server.close(resolve)));

    it('with the token of the repository', async () => {
      expect(await poster('127.0.0.0/8').post({ url: url(), forge: 'gitea', token: 'right' }, COMMIT, STATUS)).toBeUndefined();
      expect(received[0]?.request.headers.authorization).toBe('token right');
      expect(JSON.parse(received[0]!.body)).toEqual({ state: 'failure', description: STATUS.description, context: STATUS.context });
    });

    it.each([403, 302, 500])('in vain when the forge answers %i, without following or repeating it', async (answer) => {
      status = answer;
      const problem = await poster('127.0.0.0/8').post({ url: url(), forge: 'gitea', token: 'x' }, COMMIT, STATUS);
      expect(problem).toMatchObject({ message: expect.stringContaining(`answered ${answer}`), passing: answer >= 500 });
      expect(problem!.message).not.toContain('secret');
    });

    it('never to a private address that the operator did not open', async () => {
      expect(await poster().post({ url: url(), forge: 'gitea', token: 'x' }, COMMIT, STATUS)).toEqual({ message: 'The forge could not be reached.', passing: true });
      expect(received).toEqual([]);
    });

    it('never to a host that is no known forge', async () =>
      expect(await poster('127.0.0.0/8').post({ url: url(), token: 'x' }, COMMIT, STATUS)).toMatchObject({ message: expect.stringContaining('no forge'), passing: false }));
  });
});
