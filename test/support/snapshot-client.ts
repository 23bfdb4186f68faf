/** The snapshot endpoints as the demo organization calls them, and the waiting that goes with them. */
import { expect } from '@jest/globals';
import type { Answer, Cloud, Headers, Json } from './cloud.js';
import { eventually } from './eventually.js';

export class SnapshotClient {
  constructor(private readonly cloud: Cloud) {}

  send(method: string, path: string, body?: object, headers?: Headers): Promise<Answer> {
    return this.cloud.request(method, `/v1/core/${path}`, body, headers);
  }

  ask(vm: { id: number }, name: string, change: object = {}): Promise<Answer> {
    return this.send('POST', `virtual-machines/${vm.id}/snapshots`, { name, description: 'of a test', ...change });
  }

  async shown(id: number): Promise<Json> {
    return (await this.send('GET', `snapshots/${id}`)).body.snapshot;
  }

  reaches(id: number, status: string): Promise<Json> {
    return eventually(async () => {
      const snapshot = await this.shown(id);
      expect(snapshot?.status).toBe(status);
      return snapshot;
    });
  }

  gone(id: number): Promise<void> {
    return eventually(async () => expect((await this.send('GET', `snapshots/${id}`)).status).toBe(404));
  }

  async taken(vm: { id: number }, name: string, change: object = {}): Promise<Json> {
    const { status, body } = await this.ask(vm, name, change);
    expect({ status, message: body.message }).toEqual({ status: 201, message: 'Creating snapshot' });
    return this.reaches(body.snapshot.id, 'SUCCESS');
  }
}
