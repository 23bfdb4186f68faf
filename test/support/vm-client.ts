/** The VM endpoints as one of a cloud's tenants calls them, and the waiting that goes with them. */
import { expect } from '@jest/globals';
import { IMAGE, type Answer, type Cloud, type Headers, type Json } from './cloud.js';
import type { CloudTenant } from './cloud-tenant.js';
import { eventually } from './eventually.js';

const ROOT = '/v1/core/virtual-machines';

export class VmClient {
  constructor(
    private readonly cloud: Cloud,
    private readonly tenant: CloudTenant = cloud.demo,
    private readonly conductor = 0,
  ) {}

  /** A request that is complete but for its name. */
  request(change: object = {}): Record<string, unknown> {
    const { name } = this.tenant;
    return { environment_name: name, flavor_name: 'tiny-1', image_name: IMAGE, key_name: name, ...change };
  }

  post(change: object, headers: Headers = {}, query = ''): Promise<Answer> {
    return this.send('POST', query, this.request(change), headers);
  }

  get(path: string): Promise<Answer> {
    return this.send('GET', path);
  }

  delete(path: string): Promise<Answer> {
    return this.send('DELETE', path);
  }

  send(method: string, path: string, body?: unknown, headers: Headers = {}): Promise<Answer> {
    return this.cloud.request(method, ROOT + path, body, { api_key: this.tenant.key, ...headers }, this.conductor);
  }

  /** Creates one VM and waits until it runs. */
  async active(change: object): Promise<Json> {
    const { status, body } = await this.post(change);
    expect({ status, message: body.message }).toEqual({ status: 200, message: 'Creating VM' });
    return await this.reaches(body.instances[0].id, 'ACTIVE');
  }

  async reaches(id: number, status: string): Promise<Json> {
    return await eventually(async () => {
      const { body } = await this.get(`/${id}`);
      expect(body.instance?.status).toBe(status);
      return body.instance;
    });
  }

  async gone(id: number): Promise<void> {
    await eventually(async () => expect((await this.get(`/${id}`)).status).toBe(404));
  }

  /** How many VMs the tenant has. */
  async count(): Promise<number> {
    return (await this.get('?page=1&pageSize=1')).body.count;
  }
}
