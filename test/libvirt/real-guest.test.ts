/**
 * The whole product with one real guest: PostgreSQL, RabbitMQ, a conductor process and a compute process with libvirt,
 * driven by the API as a client would. Emulated where KVM does not carry guests, so that it runs on any Linux host
 * with root.
 */
import 'reflect-metadata';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { fsck } from '../../src/conductor/admin/fsck.js';
import type { InstanceFields } from '../../src/conductor/virtual-machines/vm.responses.js';
import { WebhookReceiver } from '../fixtures/webhook-receiver.js';
import { ticketOf, Viewer } from '../support/console-client.js';
import { eventually } from '../support/eventually.js';
import { BOOT_MS, RealCloud } from './real-cloud.js';
import { Outside } from './outside.js';

const run = promisify(execFile);

const NAME = 'quiet-otter';

interface Call {
  readonly operation: { readonly name: string; readonly status: string };
  readonly data: InstanceFields;
}

describe('a cloud with a real guest', () => {
  let receiver: WebhookReceiver;
  let cloud: RealCloud;
  let vm: InstanceFields;

  beforeAll(async () => {
    receiver = await WebhookReceiver.start();
    cloud = await RealCloud.start({ name: 'real-guest', floatingIps: [Outside.FLOATING_IP], conductorSettings: { BATON_METRICS_SECONDS: '1' } });
  }, 180_000);

  afterAll(async () => {
    await cloud?.stop();
    await receiver?.stop();
  }, 60_000);

  const shown = (): Promise<InstanceFields> => cloud.shownVm(vm.id);

  const page = async (address: string, path = '/'): Promise<string> => {
    const answer = await fetch(`http://${address}${path}`, { signal: AbortSignal.timeout(20_000), headers: { connection: 'close' } });
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return await answer.text();
  };

  const guestProcess = async (): Promise<number> =>
    Number(await readFile(`/run/libvirt/qemu/baton-${vm.uuid}.pid`, 'utf8'));

  const verifiedCalls = async (): Promise<Call[]> => {
    const { signing_secrets: secrets } = await cloud.request<{ signing_secrets: { secret: string }[] }>('GET', 'callbacks/signing-secrets');
    return receiver.requests.map(({ body, headers }) => new Webhook(secrets[0]!.secret).verify(body, headers) as Call);
  };

  it('says how the guests of its node run', async () => {
    const [row] = await cloud.database.query<[{ hypervisor: string; acceleration: string }]>(
      'SELECT hypervisor, acceleration FROM compute_node WHERE name = $1',
      [cloud.node.name],
    );
    expect(row.hypervisor).toBe('libvirt');
    if (!existsSync('/dev/kvm')) return expect(row.acceleration).toBe('tcg');
    const probed = JSON.parse(await readFile(join(cloud.node.stateFolder, 'acceleration.json'), 'utf8')) as {
      bootId: string;
      accelerator: { kind: string };
      reason?: string;
    };
    expect(row.acceleration).toBe(probed.accelerator.kind);
    expect(probed.bootId).toBe((await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim());
    expect(probed.accelerator.kind === 'kvm' || probed.reason).toBeTruthy();
  });

  it('brings a VM to ACTIVE, whose guest has booted and calls home', async () => {
    const { instances } = await cloud.request<{ instances: InstanceFields[] }>('POST', 'virtual-machines', {
      name: NAME,
      environment_name: 'demo',
      flavor_name: 'tiny-1',
      image_name: 'Baton Tiny Linux',
      key_name: 'demo',
      assign_floating_ip: true,
      security_rules: [22, 80].map((port) => ({
        direction: 'ingress',
        ethertype: 'IPv4',
        protocol: 'tcp',
        remote_ip_prefix: '0.0.0.0/0',
        port_range_min: port,
        port_range_max: port,
      })),
      user_data: [
        '#!/bin/sh',
        'echo "made by the user data of $(hostname)" >/www/made.txt',
        'timeout 20 wget -q -O /www/openstack.json http://169.254.169.254/openstack/latest/meta_data.json',
        '',
      ].join('\n'),
      callback_url: receiver.url('/hook'),
    });
    vm = instances[0]!;
    expect(vm).toMatchObject({ name: NAME, status: 'CREATING' });
    await eventually(async () => expect((await shown()).status).toBe('ACTIVE'), BOOT_MS);
    await eventually(async () => expect((await shown()).reachable_at).not.toBeNull(), BOOT_MS);
    vm = await shown();
    const { instance_events: events } = await cloud.request<{ instance_events: { reason: string; message: string }[] }>(
      'GET',
      `virtual-machines/${vm.id}/events`,
    );
    expect(events.find(({ reason }) => reason === 'InstanceReachable')?.message).toContain(NAME);
  }, 2 * BOOT_MS);

  it('shows the address that the guest got, where it answers with its name, also at its floating address', async () => {
    expect(vm).toMatchObject({ floating_ip: Outside.FLOATING_IP, floating_ip_status: 'ATTACHED' });
    const status = await page(vm.fixed_ip!);
    expect(status).toContain(`hostname=${NAME}\n`);
    expect(status).toContain(`ip=${vm.fixed_ip}/20`);
    expect(await page(Outside.FLOATING_IP)).toContain(`hostname=${NAME}\n`);
  }, 60_000);

  it('runs the user data in the guest', async () => {
    expect(await page(vm.fixed_ip!, '/made.txt')).toBe(`made by the user data of ${NAME}\n`);
  }, 60_000);

  it('tells programs in the guest, as OpenStack does, which VM they are in', async () => {
    const told = await eventually(async () => JSON.parse(await page(vm.fixed_ip!, '/openstack.json')) as object, 40_000);
    expect(told).toMatchObject({ uuid: vm.uuid, name: NAME, availability_zone: 'default-1', meta: { hyperstack_vm_id: String(vm.id) } });
  }, 60_000);

  (existsSync('/usr/bin/ssh') ? it : it.skip)('lets the owner of the key in by ssh', async () => {
    const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'BatchMode=yes', 'ConnectTimeout=5'];
    const ssh = ['-F', 'none', '-i', cloud.privateKeyFile, ...options.flatMap((option) => ['-o', option])];
    await eventually(async () => {
      const { stdout } = await run('ssh', [...ssh, `debian@${vm.fixed_ip}`, 'hostname'], { timeout: 20_000 });
      expect(stdout.trim()).toBe(NAME);
    }, 40_000);
  }, 60_000);

  it('shows the end of its console, as the guest wrote it', async () => {
    const path = `virtual-machines/${vm.id}/logs`;
    const { request_id } = await cloud.request<{ request_id: number }>('POST', path, { length: 100 });
    const logs = await eventually(async () => {
      const answer = await cloud.request<{ logs: string | null }>('GET', `${path}?request_id=${request_id}`);
      expect(answer.logs).not.toBeNull();
      return answer.logs!;
    });
    expect(logs).toContain(`address ${vm.fixed_ip}/20`);
    expect(logs).toContain(`host name ${NAME}`);
  });

  it('shows what it uses, and more of it as time goes on', async () => {
    type Points = { readonly data: readonly (readonly { readonly value: number }[])[] };
    const used = async () => {
      const metrics = await cloud.request<Record<string, Points>>('GET', `virtual-machines/${vm.id}/metrics?duration=1h`);
      return (name: string): number => metrics[name]!.data.flat().reduce((sum, { value }) => sum + value, 0);
    };
    const before = (await used())('cpu');
    expect(before).toBeGreaterThan(0);
    await page(vm.fixed_ip!);
    await eventually(async () => {
      const now = await used();
      expect(now('cpu')).toBeGreaterThan(before);
      for (const name of ['memory.usages', 'disk.read', 'disk.write', 'network.in', 'network.out']) expect([name, now(name) > 0]).toEqual([name, true]);
    }, 30_000);
  }, 60_000);

  const viewerOf = async (kind: 'vnc' | 'serial'): Promise<Viewer> => {
    const { url } = await cloud.request<{ url: string }>('GET', `virtual-machines/${vm.id}/request-console?type=${kind}`);
    const ticket = await eventually(async () => {
      const answer = await cloud.request<{ status: boolean }>('GET', url.replace('/core/', ''));
      expect(answer.status).toBe(true);
      return ticketOf(answer);
    });
    return await Viewer.opened(cloud.conductor.url, ticket);
  };

  it('shows its screen to a viewer of VNC', async () => {
    const viewer = await viewerOf('vnc');
    await viewer.says('RFB 003.008\n');
    viewer.type('RFB 003.008\n');
    // One kind of security: none, because the ticket was asked for before.
    await viewer.says('RFB 003.008\n\x01\x01');
    viewer.type('\x01');
    await viewer.says('\0\0\0\0');
    viewer.type('\x01');
    await viewer.says(`QEMU (baton-${vm.uuid})`);
    const before = viewer.length;
    viewer.type('\x03\x00\x00\x00\x00\x00\x00\x40\x00\x40');
    await eventually(() => expect(viewer.length).toBeGreaterThan(before + 64 * 64));
    viewer.socket.close();
  }, 60_000);

  it('is worked with on its serial line, which stays in its log', async () => {
    const viewer = await viewerOf('serial');
    viewer.type('\r');
    await viewer.says('# ', 30_000);
    viewer.type('echo "$((6 * 7)) on $(hostname)"\r');
    await viewer.says(`42 on ${NAME}`, 30_000);
    viewer.socket.close();
    const path = `virtual-machines/${vm.id}/logs`;
    const { request_id } = await cloud.request<{ request_id: number }>('POST', path, {});
    await eventually(async () => {
      const { logs } = await cloud.request<{ logs: string | null }>('GET', `${path}?request_id=${request_id}`);
      expect(logs).toContain(`42 on ${NAME}`);
    });
  }, 90_000);

  it('told its owner of each step, in order and signed', async () => {
    const statuses = await eventually(async () => {
      const calls = (await verifiedCalls()).map(({ operation }) => operation.status);
      expect(calls).toContain('ACTIVE');
      return calls;
    });
    expect(statuses).toEqual(['CREATING', 'BUILD', 'ACTIVE']);
  });

  it('keeps the guest running and ACTIVE when the worker is killed and comes back', async () => {
    const guest = await guestProcess();
    const killedAt = new Date();
    cloud.worker.process.kill();
    expect(await page(vm.fixed_ip!)).toContain('boots=1\n');
    await cloud.worker.restart();
    await cloud.nodeBeats(killedAt);
    expect(await guestProcess()).toBe(guest);
    expect(await page(vm.fixed_ip!)).toContain('boots=1\n');
    expect((await shown()).status).toBe('ACTIVE');
  }, 150_000);

  it('leaves nothing of a deleted VM', async () => {
    expect(await cloud.node.traces(vm)).toEqual(['domain', 'lease', 'host entry', 'firewall rule', 'floating address', 'bridge']);
    await cloud.request('DELETE', `virtual-machines/${vm.id}`);
    await cloud.vmGoes(vm.id);
    expect(await cloud.node.traces(vm)).toEqual([]);
    expect(await readdir(join(cloud.node.stateFolder, 'instances'))).toEqual([]);
    await eventually(async () =>
      expect((await verifiedCalls()).map(({ operation }) => operation.status)).toEqual([
        'CREATING',
        'BUILD',
        'ACTIVE',
        'DELETING',
        'DELETED',
      ]),
    );
    const claims = await cloud.database.query('SELECT FROM incarnation WHERE claimed');
    expect(claims).toEqual([]);
    expect(await fsck(cloud.database)).toEqual([]);
  }, 90_000);
});
