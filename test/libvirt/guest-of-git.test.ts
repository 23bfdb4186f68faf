/**
 * Git as desired state down to a real guest: a push to a Git server, the signed webhook of a forge, and a machine that
 * libvirt boots with the user data that lies beside the manifest.
 */
import 'reflect-metadata';
import { createHmac, randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { storeBuiltImage } from '../../src/all-in-one/demo-image.js';
import { keepSshKeypair } from '../../src/all-in-one/ssh-keypair.js';
import { fsck } from '../../src/conductor/admin/fsck.js';
import { dataSourceOptions } from '../../src/conductor/database/data-source.js';
import { migrate } from '../../src/conductor/database/migrate.js';
import { seed } from '../../src/conductor/seed/seed.js';
import type { InstanceFields } from '../../src/conductor/virtual-machines/vm.responses.js';
import { GitServer, type Changes, type GitClone } from '../fixtures/git-server.js';
import { startComputeProcess, startConductorProcess, type ConductorProcess, type RoleProcess } from '../support/baton-processes.js';
import { eventually } from '../support/eventually.js';
import { freshDatabase, sharedRabbitMq } from '../support/servers.js';
import { guestImage } from './guest-image.js';
import { LibvirtNode } from './libvirt-node.js';

const API_KEY = 'baton_key_of_the_test_organization';
const TOKEN = 'a-token-of-the-forge';
const BOOT_MS = 90_000;

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
  let folder: string;
  let database: DataSource;
  let node: LibvirtNode;
  let conductor: ConductorProcess;
  let worker: RoleProcess;
  let server: GitServer;
  let clone: GitClone;
  let repository: { readonly path: string; readonly secret: string };
  let vm: InstanceFields;

  beforeAll(async () => {
    // Not the private folder of other suites: QEMU's user must be able to reach its disks.
    folder = await mkdtemp(join(tmpdir(), 'baton-guest-of-git-'));
    await chmod(folder, 0o755);
    const imageStore = join(folder, 'image-store');
    const imageFolder = await guestImage();
    const image = await storeBuiltImage(imageFolder, imageStore);
    const { publicKey } = await keepSshKeypair(join(folder, 'ssh'));
    const servers = { databaseUrl: await freshDatabase(), amqpUrl: sharedRabbitMq() };
    database = await new DataSource(dataSourceOptions({ databaseUrl: servers.databaseUrl, databasePool: 2 })).initialize();
    await migrate(database);
    await seed(database, { images: [image], floatingIps: [], publicKey, apiKey: API_KEY });
    server = await GitServer.start({ token: TOKEN });
    clone = await server.repository('guests');
    await clone.push({ 'README.md': 'Desired state' });
    node = await LibvirtNode.prepare(join(folder, 'node'), imageFolder);
    conductor = await startConductorProcess(servers, {
      BATON_IMAGE_STORE: imageStore,
      BATON_EGRESS_ALLOW: '127.0.0.0/8',
      BATON_SECRET_KEY: randomBytes(32).toString('base64'),
    });
    worker = await startComputeProcess(servers, { name: node.name, conductorUrl: conductor.url, stateFolder: node.stateFolder, env: node.settings });
    await eventually(async () => {
      const beats = await database.query(`SELECT FROM compute_node_heartbeat WHERE inventory_digest <> ''`);
      expect(beats).toHaveLength(1);
    }, 120_000);
  }, 180_000);

  afterAll(async () => {
    await worker?.stop();
    await conductor?.stop();
    await node?.destroy();
    await server?.stop();
    await database?.destroy();
    if (folder) await rm(folder, { recursive: true, force: true });
  }, 60_000);

  async function request<Answer>(method: string, path: string, body?: object | string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    const answer = await fetch(`${conductor.url}${path}`, {
      method,
      headers: { api_key: API_KEY, 'content-type': 'application/json', ...headers },
      body: typeof body === 'object' ? JSON.stringify(body) : body,
    });
    const json = (await answer.json()) as Answer & { message: string };
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${json.message}`);
    return json;
  }

  const machines = async (): Promise<InstanceFields[]> => (await request<{ instances: InstanceFields[] }>('GET', '/v1/core/virtual-machines')).instances;

  const page = async (path: string): Promise<string> => {
    const answer = await fetch(`http://${vm.fixed_ip}${path}`, { signal: AbortSignal.timeout(20_000), headers: { connection: 'close' } });
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return await answer.text();
  };

  /** As a person pushes, and the forge tells of it. @returns the actions that came of it. */
  async function pushed(changes: Changes): Promise<string[]> {
    const after = await clone.push(changes);
    const body = JSON.stringify({ ref: 'refs/heads/main', after });
    const signature = `sha256=${createHmac('sha256', repository.secret).update(body).digest('hex')}`;
    await request('POST', `${repository.path}/github-webhook`, body, { 'x-github-event': 'push', 'x-hub-signature-256': signature });
    return await eventually(async () => {
      const { syncs } = await request<{ syncs: Sync[] }>('GET', `${repository.path}/syncs`);
      expect(syncs[0]).toMatchObject({ commit: after, trigger: 'push', state: 'succeeded', problems: [] });
      return syncs[0]!.actions.map(({ verb, fields, result }) => [verb, ...fields, result].join(' '));
    }, BOOT_MS);
  }

  it('boots, and serves what the user data beside its manifest says', async () => {
    const added = await request<{ git_repo: { id: number }; webhook_secret: string }>('POST', '/gitops/git-repo', {
      url: server.httpUrl('guests'),
      credentials: { token: TOKEN },
      prune: true,
      poll_seconds: 3600,
    });
    repository = { path: `/gitops/git-repo/${added.git_repo.id}`, secret: added.webhook_secret };
    await eventually(async () => expect((await request<{ git_repo: { status: string } }>('GET', repository.path)).git_repo.status).toBe('SYNCED'));
    expect(
      await pushed({ 'vms/pushed.yaml': manifest('blue'), 'init/page.sh': '#!/bin/sh\necho "{{ name }} of {{ environment }} is $(hostname)" >/www/pushed.txt\n' }),
    ).toEqual(['create done']);
    [vm] = (await machines()) as [InstanceFields];
    expect(vm).toMatchObject({ name: 'pushed', status: 'ACTIVE', labels: ['blue'] });
    await eventually(async () => {
      [vm] = (await machines()) as [InstanceFields];
      expect(vm.reachable_at).not.toBeNull();
    }, BOOT_MS);
    expect(await page('/pushed.txt')).toBe('pushed of demo is pushed\n');
  }, 2 * BOOT_MS);

  it('is labelled anew in place, and never restarted for it', async () => {
    expect(await pushed({ 'vms/pushed.yaml': manifest('green') })).toEqual(['update labels done']);
    expect(await machines()).toEqual([expect.objectContaining({ id: vm.id, status: 'ACTIVE', labels: ['green'] })]);
    expect(await page('/')).toContain('boots=1\n');
  }, 60_000);

  it('leaves nothing when its document is gone', async () => {
    expect(await node.traces(vm)).toContain('domain');
    expect(await pushed({ 'vms/pushed.yaml': null })).toEqual(['delete done']);
    expect(await machines()).toEqual([]);
    expect(await node.traces(vm)).toEqual([]);
    expect(await readdir(join(node.stateFolder, 'instances'))).toEqual([]);
    expect(await fsck(database)).toEqual([]);
  }, 60_000);
});
