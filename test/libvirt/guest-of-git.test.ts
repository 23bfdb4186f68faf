/**
 * Git as desired state down to a real guest: a push to a Git server, the signed webhook of a forge, and a machine that
 * libvirt boots with the user data that lies beside the manifest.
 */
import 'reflect-metadata';
import { createHmac, randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fsck } from '../../src/conductor/admin/fsck.js';
import type { InstanceFields } from '../../src/conductor/virtual-machines/vm.responses.js';
import { GitServer, type Changes, type GitClone } from '../fixtures/git-server.js';
import { eventually } from '../support/eventually.js';
import { BOOT_MS, pageOf, RealCloud } from './real-cloud.js';

const TOKEN = 'a-token-of-the-forge';

const manifest = (label: string): string => `
apiVersion: baton/v1
kind: VirtualMachine
metadata: { name: pushed, environment: demo, labels: [${label}] }
spec:
  flavor: tiny-1
  image: Baton Tiny Linux
  keypairs: [demo]
  user_data_file: ../init/page.sh
  security_rules:
  - { direction: ingress, protocol: tcp, remote_ip_prefix: 0.0.0.0/0, port_range_min: 80 }
`;

interface Sync {
  readonly commit: string;
  readonly state: string;
  readonly trigger: string;
  readonly actions: readonly { readonly verb: string; readonly fields: readonly string[]; readonly result: string; readonly message: string }[];
  readonly problems: readonly { readonly message: string }[];
}

describe('a guest that is pushed', () => {
  let cloud: RealCloud;
  let server: GitServer;
  let clone: GitClone;
  let repository: { readonly path: string; readonly secret: string };
  let vm: InstanceFields;

  beforeAll(async () => {
    server = await GitServer.start({ token: TOKEN });
    clone = await server.repository('guests');
    await clone.push({ 'README.md': 'Desired state' });
    cloud = await RealCloud.start({
      name: 'guest-of-git',
      conductorSettings: { BATON_EGRESS_ALLOW: '127.0.0.0/8', BATON_SECRET_KEY: randomBytes(32).toString('base64') },
    });
  }, 180_000);

  afterAll(async () => {
    await cloud?.stop();
    await server?.stop();
  }, 60_000);

  const machines = async (): Promise<InstanceFields[]> => (await cloud.request<{ instances: InstanceFields[] }>('GET', 'virtual-machines')).instances;

  /** As a person pushes, and the forge tells of it. @returns the actions that came of it. */
  async function pushed(changes: Changes): Promise<string[]> {
    const after = await clone.push(changes);
    const body = JSON.stringify({ ref: 'refs/heads/main', after });
    const signature = `sha256=${createHmac('sha256', repository.secret).update(body).digest('hex')}`;
    await cloud.send('POST', `${repository.path}/github-webhook`, body, { 'x-github-event': 'push', 'x-hub-signature-256': signature });
    return await eventually(async () => {
      const { syncs } = await cloud.send<{ syncs: Sync[] }>('GET', `${repository.path}/syncs`);
      expect(syncs[0]).toMatchObject({ commit: after, trigger: 'push', state: 'succeeded', problems: [] });
      return syncs[0]!.actions.map(({ verb, fields, result }) => [verb, ...fields, result].join(' '));
    }, BOOT_MS);
  }

  it('boots, and serves what the user data beside its manifest says', async () => {
    const added = await cloud.send<{ git_repo: { id: number }; webhook_secret: string }>('POST', '/gitops/git-repo', {
      url: server.httpUrl('guests'),
      credentials: { token: TOKEN },
      prune: true,
      poll_seconds: 3600,
    });
    repository = { path: `/gitops/git-repo/${added.git_repo.id}`, secret: added.webhook_secret };
    await eventually(async () => expect((await cloud.send<{ git_repo: { status: string } }>('GET', repository.path)).git_repo.status).toBe('SYNCED'));
    expect(
      await pushed({ 'vms/pushed.yaml': manifest('blue'), 'init/page.sh': '#!/bin/sh\necho "{{ name }} of {{ environment }} is $(hostname)" >/www/pushed.txt\n' }),
    ).toEqual(['create done']);
    [vm] = (await machines()) as [InstanceFields];
    expect(vm).toMatchObject({ name: 'pushed', status: 'ACTIVE', labels: ['blue'] });
    await eventually(async () => {
      [vm] = (await machines()) as [InstanceFields];
      expect(vm.reachable_at).not.toBeNull();
    }, BOOT_MS);
    expect(await pageOf(vm, '/pushed.txt')).toBe('pushed of demo is pushed\n');
  }, 2 * BOOT_MS);

  it('is labelled anew in place, and never restarted for it', async () => {
    expect(await pushed({ 'vms/pushed.yaml': manifest('green') })).toEqual(['update labels done']);
    expect(await machines()).toEqual([expect.objectContaining({ id: vm.id, status: 'ACTIVE', labels: ['green'] })]);
    expect(await pageOf(vm)).toContain('boots=1\n');
  }, 60_000);

  it('leaves nothing when its document is gone', async () => {
    expect(await cloud.node.traces(vm)).toContain('domain');
    expect(await pushed({ 'vms/pushed.yaml': null })).toEqual(['delete done']);
    expect(await machines()).toEqual([]);
    expect(await cloud.node.traces(vm)).toEqual([]);
    expect(await readdir(join(cloud.node.stateFolder, 'instances'))).toEqual([]);
    expect(await fsck(cloud.database)).toEqual([]);
  }, 60_000);
});
