import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { ImageId } from '../../protocol/ids.js';
import type { ImageNews, ImageNewsAnswer, ImageOrder } from '../../protocol/image.js';
import { HypervisorError } from '../hypervisor/hypervisor.js';
import type { CheckedImage } from './image-cache.js';
import { ImageFetching, type ImageFetchingPorts } from './image-fetching.js';

const ORDER: ImageOrder = {
  imageId: 3 as ImageId,
  attempt: 1,
  url: 'https://example.org/disk',
  format: 'qcow2',
  checksum: { algorithm: 'sha256', digest: 'a'.repeat(64) },
  mostBytes: 1,
  mostVirtualBytes: 1,
};
const FOUND: CheckedImage = { sha256: 'a'.repeat(64), bytes: 7, virtualBytes: 8 };

function setUp(ports: Partial<ImageFetchingPorts> = {}) {
  const told: ImageNews[] = [];
  let heard: () => void = () => undefined;
  const work: { finish: (found: CheckedImage) => void; fail: (error: Error) => void; progress: (bytes: number) => void; signal: AbortSignal }[] = [];
  const fetching = new ImageFetching({
    fetch: (_order, progress, signal) =>
      new Promise((finish, fail) => {
        work.push({ finish, fail, progress: (bytes) => progress(bytes, 100), signal });
        signal.addEventListener('abort', () => fail(new Error('aborted')));
      }),
    tell: async (news): Promise<ImageNewsAnswer> => (told.push(...news), heard(), { stop: [] }),
    logger: pino({ level: 'silent' }),
    everyMs: 5,
    ...ports,
  });
  const until = async (seen: () => boolean): Promise<void> => {
    while (!seen()) await new Promise<void>((resolve) => (heard = resolve));
  };
  return { fetching, told, work, until };
}

describe('the fetching of images', () => {
  it('tells how far it is, then what it found, and then no more', async () => {
    const { fetching, told, work, until } = setUp();
    fetching.asked([ORDER]);
    work[0]!.progress(50);
    await until(() => told.some((news) => news.state === 'downloading' && news.bytes === 50 && news.totalBytes === 100));
    work[0]!.finish(FOUND);
    await until(() => told.at(-1)?.state === 'checked');
    expect(told.at(-1)).toEqual({ imageId: 3, attempt: 1, state: 'checked', ...FOUND });
    fetching.asked([{ ...ORDER, attempt: 2 }]);
    expect(work).toHaveLength(2);
    fetching.stop();
  });

  it('takes an order once, however often it is named', () => {
    const { fetching, work } = setUp();
    fetching.asked([ORDER]);
    fetching.asked([ORDER]);
    expect(work).toHaveLength(1);
    fetching.stop();
    expect(work[0]!.signal.aborted).toBe(true);
  });

  it.each([
    ['that is the image’s own fault', new HypervisorError('It has a backing file.', false), { reason: 'It has a backing file.', retryable: false }],
    ['that nobody foresaw', new TypeError('/etc/secret'), { reason: 'The image cannot be had: the compute node failed.', retryable: true }],
  ])('tells of a failure %s', async (_what, error, news) => {
    const { fetching, told, work, until } = setUp();
    fetching.asked([ORDER]);
    work[0]!.fail(error);
    await until(() => told.at(-1)?.state === 'failed');
    expect(told.at(-1)).toMatchObject(news);
  });

  it('tells an outcome again that could not be told', async () => {
    let attempts = 0;
    const told: ImageNews[] = [];
    let done: () => void = () => undefined;
    const finished = new Promise<void>((resolve) => (done = resolve));
    const { fetching, work } = setUp({
      tell: async (news) => {
        if (attempts++ < 2) throw new Error('no conductor');
        told.push(...news);
        done();
        return { stop: [] };
      },
    });
    fetching.asked([ORDER]);
    work[0]!.finish(FOUND);
    await finished;
    expect(told).toMatchObject([{ state: 'checked' }]);
  });

  it('ends what is no longer wanted', async () => {
    const { fetching, work } = setUp({ tell: async () => ({ stop: [ORDER.imageId] }) });
    fetching.asked([ORDER]);
    await new Promise((resolve) => work[0]!.signal.addEventListener('abort', resolve));
  });
});
