/** The volume endpoints as one of a cloud's tenants calls them, and the waiting that goes with them. */
import { expect } from '@jest/globals';
import type { Answer, Cloud, Headers, Json } from './cloud.js';
import type { CloudTenant } from './cloud-tenant.js';
import { eventually } from './eventually.js';

export class VolumeClient {
  constructor(
    private readonly cloud: Cloud,
    private readonly tenant: CloudTenant = cloud.demo,
  ) {}

  send(method: string, path: string, body?: object, headers: Headers = {}): Promise<Answer> {
    return this.cloud.request(method, `/v1/core/${path}`, body, { api_key: this.tenant.key, ...headers });
  }

  /** A request that is complete. */
  payload(name: string, change: object = {}): object {
    return { name, environment_name: this.tenant.name, size: 10, volume_type: 'Cloud-SSD', ...change };
  }

  async create(name: string, change: object = {}): Promise<Json> {
    const { status, body } = await this.send('POST', 'volumes', this.payload(name, change));
    expect({ status, message: body.message }).toEqual({ status: 200, message: 'Volume created successfully' });
    return body.volume;
  }

  async shown(id: number): Promise<Json> {
    return (await this.send('GET', `volumes/${id}`)).body.volume;
  }

  /** @param vm an id, or a path by names. */
  attach(vm: { id: number } | string, ...volumes: { id: number }[]): Promise<Answer> {
    return this.send('POST', `virtual-machines/${pathOf(vm)}/attach-volumes`, { volume_ids: idsOf(volumes), protected: false });
  }

  /** @param vm an id, or a path by names. */
  detach(vm: { id: number } | string, ...volumes: { id: number }[]): Promise<Answer> {
    return this.send('POST', `virtual-machines/${pathOf(vm)}/detach-volumes`, { volume_ids: idsOf(volumes) });
  }

  grow(id: number, size: number): Promise<Answer> {
    return this.send('PATCH', `volumes/${id}`, { size });
  }

  delete(id: number): Promise<Answer> {
    return this.send('DELETE', `volumes/${id}`);
  }

  reaches(id: number, status: string): Promise<Json> {
    return eventually(async () => {
      const volume = await this.shown(id);
      expect(volume?.status).toBe(status);
      return volume;
    });
  }

  gone(id: number): Promise<void> {
    return eventually(async () => expect((await this.send('GET', `volumes/${id}`)).status).toBe(404));
  }

  async uuidOf(id: number): Promise<string> {
    return (await this.cloud.database.query('SELECT uuid FROM volume WHERE id = $1', [id]))[0].uuid;
  }

  /** The UUIDs that the domain of a VM has on its node, what it boots from first. */
  async onNode(vm: { id: number; uuid: string }): Promise<readonly string[] | undefined> {
    const { node, identity } = await this.placeOf(vm);
    return node.hypervisor.volumesOf(identity);
  }

  /** The sizes of those, in GiB. */
  async sizesOnNode(vm: { id: number; uuid: string }): Promise<readonly number[] | undefined> {
    const { node, identity } = await this.placeOf(vm);
    return node.hypervisor.domain(identity)?.volumeGib;
  }

  async diskUsed(node = 'node-1'): Promise<number> {
    return (await this.cloud.database.query('SELECT disk_gib_used FROM compute_node WHERE name = $1', [node]))[0].disk_gib_used;
  }

  private async placeOf(vm: { id: number; uuid: string }) {
    const [row] = await this.cloud.database.query<{ id: number; name: string }[]>(
      `SELECT i.id, n.name FROM incarnation i JOIN compute_node n ON n.id = i.compute_node_id
        WHERE i.virtual_machine_id = $1 AND i.ended_at IS NULL`,
      [vm.id],
    );
    const node = this.cloud.nodes.find(({ name }) => name === row!.name)!;
    return { node, identity: { vmUuid: vm.uuid as never, incarnationId: row!.id as never } };
  }
}

const pathOf = (vm: { id: number } | string): string => (typeof vm === 'string' ? vm : String(vm.id));

const idsOf = (volumes: readonly { id: number }[]): number[] => volumes.map(({ id }) => id);
