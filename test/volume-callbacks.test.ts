/** Webhooks of volumes: one signed POST for each change of status, in order; and who may set where they go. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { fsck } from '../src/conductor/admin/fsck.js';
import { WebhookReceiver } from './fixtures/webhook-receiver.js';
import { startCloud, type Answer, type Cloud, type Json } from './support/cloud.js';
import { eventually } from './support/eventually.js';
import { mismatches } from './support/infrahub-model.js';
import { VmClient } from './support/vm-client.js';
import { VolumeClient } from './support/volume-client.js';

let cloud: Cloud;
let vms: VmClient;
let volumes: VolumeClient;
let receiver: WebhookReceiver;

beforeAll(async () => {
  cloud = await startCloud({ settings: { BATON_EGRESS_ALLOW: '127.0.0.0/8' } });
  vms = new VmClient(cloud);
  volumes = new VolumeClient(cloud);
  receiver = await WebhookReceiver.start();
}, 60_000);

beforeEach(() => void receiver.requests.splice(0));

afterAll(async () => {
  expect(await fsck(cloud.database)).toEqual([]);
  await receiver.stop();
  await cloud.stop();
});

const url = (path = '/hook?Token=aBc'): string => receiver.url(path);

async function told(): Promise<Json[]> {
  const { body } = await volumes.send('GET', 'callbacks/signing-secrets');
  return receiver.requests.map(({ body: text, headers }) => new Webhook(body.signing_secrets[0].secret).verify(text, headers) as Json);
}

const callback = (method: string, id: number, action: string, body?: object, headers?: Record<string, string>): Promise<Answer> =>
  volumes.send(method, `volumes/${id}/${action}-callback`, body, headers);

const expectRefusal = (answer: Answer, status: number, words: string): void =>
  expect({ status: answer.status, message: answer.body.message }).toEqual({ status, message: expect.stringContaining(words) });

describe('the webhooks of a volume', () => {
  it('tell of every status in its life, in order, signed', async () => {
    const vm = await vms.active({ name: 'teller' });
    const volume = await volumes.create('chatty', { callback_url: url() });
    expect(volume.callback_url).toBe(url());
    await volumes.attach(vm, volume);
    await volumes.reaches(volume.id, 'in-use');
    await volumes.detach(vm, volume);
    await volumes.reaches(volume.id, 'available');
    await volumes.delete(volume.id);
    await volumes.gone(volume.id);
    await eventually(async () => expect(receiver.requests).toHaveLength(7));
    const calls = await told();
    expect(calls.map(({ operation }) => [operation.name, operation.status, operation.event])).toEqual([
      ['createVolume', 'available', 'VolumeCreationSuccess'],
      ['attachVolume', 'attaching', 'AttachVolumeToInstanceSuccess'],
      ['attachVolume', 'in-use', 'AttachVolumeToInstanceSuccess'],
      ['detachVolume', 'detaching', 'DetachVolumeToInstanceSuccess'],
      ['detachVolume', 'available', 'DetachVolumeToInstanceSuccess'],
      ['deleteVolume', 'deleting', 'VolumeDeleteSuccess'],
      ['deleteVolume', 'deleted', 'VolumeDeleteSuccess'],
    ]);
    expect(calls[2].resource).toEqual({ id: volume.id, name: 'chatty', type: 'volume' });
    expect(calls[2].data).toMatchObject({ status: 'in-use', attachments: [{ instance_id: vm.id, status: 'ATTACHED' }] });
    expect(mismatches('VolumeFields', calls[2].data)).toEqual([]);
    expect(receiver.requests[0]!.path).toBe('/hook?Token=aBc');
    const log = (await volumes.send('GET', `volumes/${volume.id}/callback-deliveries`)).body.callback_deliveries;
    expect(log).toHaveLength(7);
    expect(log[0]).toMatchObject({ volume_id: volume.id, vm_id: null, state: 'delivered' });
    expect((await volumes.send('POST', `callbacks/deliveries/${log[0].id}/replay`)).status).toBe(200);
    await eventually(() => expect(receiver.requests).toHaveLength(8));
    expect((await volumes.send('GET', `volumes/${volume.id}/callback-deliveries`, undefined, { api_key: cloud.other.key })).status).toBe(404);
  });

  it('tell that the VM of a volume is gone', async () => {
    const vm = await vms.active({ name: 'short-lived' });
    const volume = await volumes.create('survivor', { callback_url: url() });
    await volumes.attach(vm, volume);
    await volumes.reaches(volume.id, 'in-use');
    await vms.delete(`/${vm.id}`);
    await vms.gone(vm.id);
    await eventually(async () => expect((await told()).at(-1)).toMatchObject({ operation: { name: 'detachVolume', status: 'available' } }));
  });

  it('go where the callback was set, until it is removed', async () => {
    const volume = await volumes.create('late');
    const attached = await callback('POST', volume.id, 'attach', { url: url('/a') });
    expect(mismatches('AttachCallbackResponse', attached.body)).toEqual([]);
    expect(attached.body.url).toBe(url('/a'));
    expectRefusal(await callback('POST', volume.id, 'attach', { url: url('/b') }), 400, 'has a callback');
    expect((await callback('PUT', volume.id, 'update', { url: url('/b') })).body.url).toBe(url('/b'));
    expect((await volumes.shown(volume.id)).callback_url).toBe(url('/b'));
    expect(mismatches('ResponseModel', (await callback('DELETE', volume.id, 'delete')).body)).toEqual([]);
    expect((await volumes.shown(volume.id)).callback_url).toBeNull();
    expectRefusal(await callback('PUT', volume.id, 'update', { url: url('/c') }), 400, 'has no callback');
    expectRefusal(await callback('DELETE', volume.id, 'delete'), 400, 'has no callback');
    await callback('POST', volume.id, 'attach', { url: url('/d') });
    await volumes.delete(volume.id);
    await eventually(() => expect(receiver.requests.map(({ path }) => path)).toEqual(['/d']));
  });

  it('are refused to addresses that callbacks may not go to', async () => {
    const volume = await volumes.create('safe');
    for (const hostile of ['http://169.254.169.254/latest', 'file:///etc/passwd', 'nowhere', 'http://10.0.0.1/']) {
      expect((await callback('POST', volume.id, 'attach', { url: hostile })).status).toBe(400);
      expect((await volumes.send('POST', 'volumes', volumes.payload('unsafe', { callback_url: hostile }))).status).toBe(400);
    }
    expect((await callback('POST', volume.id, 'attach', { url: `http://127.0.0.1/${'x'.repeat(250)}` })).status).toBe(400);
    expect((await callback('POST', volume.id, 'attach', {})).status).toBe(400);
  });

  it('of another organization are as good as missing', async () => {
    const volume = await volumes.create('mine', { callback_url: url('/mine') });
    const other = { api_key: cloud.other.key };
    expect((await callback('POST', volume.id, 'attach', { url: url('/theirs') }, other)).status).toBe(404);
    expect((await callback('PUT', volume.id, 'update', { url: url('/theirs') }, other)).status).toBe(404);
    expect((await callback('DELETE', volume.id, 'delete', undefined, other)).status).toBe(404);
    expectRefusal(await callback('DELETE', 999_999, 'delete'), 404, 'The volume was not found');
    expect((await volumes.shown(volume.id)).callback_url).toBe(url('/mine'));
  });
});
