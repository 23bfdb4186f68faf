import { getEventListeners } from 'node:events';
import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import { pino } from 'pino';
import type { IncarnationId, VmUuid } from '../../protocol/ids.js';
import type { SampleBatch } from '../../protocol/metrics.js';
import type { GuestCounters } from '../hypervisor/hypervisor.js';
import { Sampler } from './sampler.js';

const guest = (cpuNs: number, change: Partial<GuestCounters> = {}): GuestCounters => ({
  vmUuid: 'a' as VmUuid,
  incarnationId: 1 as IncarnationId,
  cpuNs,
  memoryMib: 100,
  diskReadBytes: cpuNs * 2,
  diskWriteBytes: 0,
  networkInBytes: 0,
  networkOutBytes: 0,
  ...change,
});

let counters: GuestCounters[];
let sent: SampleBatch[];
let sampler: Sampler;
let unreadable: boolean;
const send = jest.fn<(batch: SampleBatch) => Promise<void>>();

beforeEach(() => {
  sent = [];
  unreadable = false;
  send.mockReset().mockImplementation(async (batch) => void sent.push(batch));
  const read = async () => {
    if (unreadable) throw new Error('no libvirt');
    return counters;
  };
  sampler = new Sampler({ session: 3, everySeconds: 60, read, send, logger: pino({ level: 'silent' }) });
});

async function read(...next: GuestCounters[]): Promise<void> {
  counters = next;
  await sampler.sample();
}

const cpuSent = (): number[] => sent.flatMap(({ samples }) => samples.map(({ cpuNs }) => cpuNs));

describe('the sampler', () => {
  it('sends what was used since it looked last, of all guests at once', async () => {
    const other = { vmUuid: 'b' as VmUuid };
    await read(guest(100), guest(7, other));
    expect(sent).toEqual([]);
    await read(guest(130), guest(9, other));
    expect(sent).toHaveLength(1);
    expect(sent[0]).toMatchObject({ session: 3, samples: [{ vmUuid: 'a', cpuNs: 30, diskReadBytes: 60, memoryMib: 100 }, { vmUuid: 'b', cpuNs: 2 }] });
  });

  it('counts from nothing where a guest was started anew', async () => {
    await read(guest(100, { networkInBytes: 50 }));
    await read(guest(10, { networkInBytes: 70 }));
    expect(sent[0]!.samples[0]).toMatchObject({ cpuNs: 10, networkInBytes: 70 });
  });

  it('does not take a new life of a VM for the former one', async () => {
    await read(guest(100));
    await read(guest(300, { incarnationId: 2 as IncarnationId }));
    expect(sent).toEqual([]);
  });

  it('sends a batch again as it was, and loses nothing meanwhile', async () => {
    await read(guest(100));
    send.mockRejectedValueOnce(new Error('no answer'));
    await read(guest(130));
    await read(guest(150));
    await read(guest(190));
    expect(cpuSent()).toEqual([30, 60]);
    expect(sent[0]!.batch).toBeLessThan(sent[1]!.batch);
    expect(send.mock.calls[0]![0]).toEqual(send.mock.calls[1]![0]);
  });

  it('goes on when the hypervisor could not be read', async () => {
    await read(guest(100));
    unreadable = true;
    await read(guest(110));
    unreadable = false;
    await read(guest(130));
    expect(cpuSent()).toEqual([30]);
  });

  it('ends at once, also while the hypervisor hangs', async () => {
    const hanging = new Sampler({ session: 1, everySeconds: 60, read: () => new Promise(() => undefined), send, logger: pino({ level: 'silent' }) });
    hanging.start();
    await hanging.stop();
  });

  it('of a worker that lives long leaves no listener behind with each interval', async () => {
    let readings = 0;
    let wake: () => void = () => undefined;
    const often = new Promise<void>((resolve) => (wake = resolve));
    const lasting = new Sampler({ session: 1, everySeconds: 0, read: async () => (++readings > 20 && wake(), []), send, logger: pino({ level: 'silent' }) });
    lasting.start();
    await often;
    const listeners = getEventListeners(lasting['stopping'].signal, 'abort').length;
    await lasting.stop();
    expect(listeners).toBeLessThan(5);
  });
});
