/** Makes whatever an operation needs to be called in its right state, each thing new and under a name of its own. */
import { generateKeyPairSync } from 'node:crypto';
import { expect } from '@jest/globals';
import { IMAGE, type Cloud, type Json } from '../support/cloud.js';
import { addTenant } from '../support/cloud-tenant.js';
import { eventually } from '../support/eventually.js';
import { VmClient } from '../support/vm-client.js';

export const REGION = 'default-1';

export class Lab {
  readonly vms: VmClient;
  private counter = 0;

  constructor(readonly cloud: Cloud) {
    this.vms = new VmClient(cloud);
  }

  name(): string {
    return `thing-${++this.counter}`;
  }

  /** @throws when the answer is no success: then the preparation is wrong, or what it builds on. */
  async call(method: string, path: string, body?: unknown, key = this.cloud.demo.key): Promise<Json> {
    const answer = await this.cloud.request(method, `/v1${path}`, body, { api_key: key });
    if (answer.status >= 300) throw new Error(`${method} ${path} was answered with ${answer.status}: ${answer.text}`);
    return answer.body;
  }

  async environment(): Promise<Json> {
    return (await this.call('POST', '/core/environments', { name: this.name(), region: REGION })).environment;
  }

  async keypair(): Promise<Json> {
    const body = { environment_name: this.cloud.demo.name, name: this.name(), public_key: publicKey() };
    return (await this.call('POST', '/core/keypairs', body)).keypair;
  }

  async image(): Promise<number> {
    const [row] = await this.cloud.database.query<[{ id: number }]>(
      `INSERT INTO image (region_id, organization_id, name, type, version, size_bytes, files)
       SELECT r.id, o.id, $1, 'Tiny', '1', 1, i.files
         FROM region r, organization o, image i WHERE r.name = $2 AND o.name = $3 AND i.name = $4 RETURNING id`,
      [this.name(), REGION, this.cloud.demo.name, IMAGE],
    );
    return row.id;
  }

  vm(change: object = {}): Promise<Json> {
    return this.vms.active({ name: this.name(), ...change });
  }

  async stoppedVm(change: object = {}): Promise<Json> {
    const { id } = await this.vm(change);
    await this.call('GET', `/core/virtual-machines/${id}/stop`);
    return this.vms.reaches(id, 'SHUTOFF');
  }

  async hibernatedVm(): Promise<Json> {
    const { id } = await this.vm();
    await this.call('GET', `/core/virtual-machines/${id}/hibernate`);
    return this.vms.reaches(id, 'HIBERNATED');
  }

  async firewall(): Promise<Json> {
    const environment = (await this.call('GET', '/core/environments')).environments[0];
    const body = { name: this.name(), environment_id: environment.id, description: 'of the conformance test' };
    return (await this.call('POST', '/core/firewalls', body)).firewall;
  }

  async volume(change: object = {}): Promise<Json> {
    const body = { name: this.name(), environment_name: this.cloud.demo.name, size: 1, volume_type: 'Cloud-SSD', ...change };
    const { id } = (await this.call('POST', '/core/volumes', body)).volume;
    return this.volumeReaches(id, 'available');
  }

  /** A volume and the VM that it is attached to. */
  async attached(): Promise<{ vm: Json; volume: Json }> {
    const vm = await this.vm();
    const { id } = await this.volume();
    await this.call('POST', `/core/virtual-machines/${vm.id}/attach-volumes`, { volume_ids: [id] });
    return { vm, volume: await this.volumeReaches(id, 'in-use') };
  }

  volumeReaches(id: number, status: string): Promise<Json> {
    return eventually(async () => {
      const { volume } = await this.call('GET', `/core/volumes/${id}`);
      expect(volume.status).toBe(status);
      return volume;
    });
  }

  async snapshot(): Promise<Json> {
    const { id } = await this.vm();
    const body = { name: this.name(), description: 'of the conformance test' };
    const { snapshot } = await this.call('POST', `/core/virtual-machines/${id}/snapshots`, body);
    return eventually(async () => {
      const shown = (await this.call('GET', `/core/snapshots/${snapshot.id}`)).snapshot;
      expect(shown.status).toBe('SUCCESS');
      return shown;
    });
  }

  async profile(): Promise<Json> {
    return (await this.call('POST', '/core/profiles', { name: this.name(), data: { count: '1' } })).profile;
  }

  async role(): Promise<Json> {
    const { permissions } = await this.call('GET', '/auth/permissions');
    const body = { name: this.name(), description: 'of the conformance test', permissions: [permissions[0].id], policies: [] };
    return (await this.call('POST', '/auth/roles', body)).role;
  }

  async invite(email = `${this.name()}@example.org`): Promise<Json> {
    return (await this.call('POST', '/auth/invites', { email })).invite;
  }

  /** Somebody of another organization who was invited, with the own key. */
  async guest(): Promise<{ email: string; key: string; invite: Json }> {
    const { name, key } = await addTenant(this.cloud.database, this.name(), publicKey());
    const email = `${name}@example.org`;
    return { email, key, invite: await this.invite(email) };
  }

  /** A guest who accepted. */
  async member(): Promise<Json> {
    const { email, key, invite } = await this.guest();
    await this.call('GET', `/auth/invites/${invite.id}/accept`, undefined, key);
    const { users } = (await this.call('GET', '/auth/organizations')).organization;
    return users.find((user: { email: string }) => user.email === email);
  }
}

/** In OpenSSH's form. */
export function publicKey(): string {
  const { publicKey: key } = generateKeyPairSync('ed25519');
  const raw = key.export({ type: 'spki', format: 'der' }).subarray(-32);
  const field = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from([0, 0, 0, bytes.length]), bytes]);
  const type = 'ssh-ed25519';
  return `${type} ${Buffer.concat([field(Buffer.from(type)), field(raw)]).toString('base64')} conformance`;
}
