/**
 * Downloads the images that the answers to heartbeats order, and tells how far each is and what came of it. The heartbeat
 * never waits for it.
 *
 * News go out every second, also when nothing moves: they are what keeps the order this node's. An outcome that could
 * not be told is told again, until the conductor has it or says that the image is no longer ours; what was downloaded
 * in vain then stays in the cache, unused, and goes as other unused files go.
 */
import type { Logger } from 'pino';
import type { ImageId } from '../../protocol/ids.js';
import type { ImageNews, ImageNewsAnswer, ImageOrder } from '../../protocol/image.js';
import { HypervisorError } from '../hypervisor/hypervisor.js';
import type { CheckedImage } from './image-cache.js';

export interface ImageFetchingPorts {
  readonly fetch: (
    order: ImageOrder,
    onProgress: (bytes: number, totalBytes: number | undefined) => void,
    signal: AbortSignal,
  ) => Promise<CheckedImage>;
  readonly tell: (news: readonly ImageNews[]) => Promise<ImageNewsAnswer>;
  readonly logger: Logger;
  /** Between news of one image. Default: one second. */
  readonly everyMs?: number;
}

interface Work {
  readonly order: ImageOrder;
  readonly ended: AbortController;
  news: ImageNews;
}

const EVERY_MS = 1_000;

export class ImageFetching {
  private readonly inHand = new Map<ImageId, Work>();
  private timer: NodeJS.Timeout | undefined;
  private telling = false;

  constructor(private readonly ports: ImageFetchingPorts) {}

  asked(orders: readonly ImageOrder[]): void {
    for (const order of orders) {
      const known = this.inHand.get(order.imageId);
      if (known?.order.attempt === order.attempt) continue;
      known?.ended.abort();
      const { imageId, attempt } = order;
      const work: Work = { order, ended: new AbortController(), news: { imageId, attempt, state: 'downloading', bytes: 0 } };
      this.inHand.set(imageId, work);
      void this.carryOut(work);
    }
    if (this.inHand.size > 0) this.timer ??= setInterval(() => void this.tell(), this.ports.everyMs ?? EVERY_MS);
  }

  /** Lets go of what is in hand; another node will be asked for it. */
  stop(): void {
    clearInterval(this.timer);
    for (const { ended } of this.inHand.values()) ended.abort();
    this.inHand.clear();
  }

  private async carryOut(work: Work): Promise<void> {
    const { order, ended } = work;
    const about = { imageId: order.imageId, attempt: order.attempt };
    try {
      const found = await this.ports.fetch(
        order,
        (bytes, totalBytes) => (work.news = { ...about, state: 'downloading', bytes, totalBytes }),
        ended.signal,
      );
      work.news = { ...about, state: 'checked', ...found };
    } catch (error) {
      if (ended.signal.aborted) return;
      this.ports.logger.warn({ err: error, image: order.imageId }, 'an image could not be had');
      const known = error instanceof HypervisorError;
      const reason = known ? error.message : 'The image cannot be had: the compute node failed.';
      work.news = { ...about, state: 'failed', reason, retryable: known ? error.retryable : true };
    }
    await this.tell();
  }

  private async tell(): Promise<void> {
    if (this.telling || this.inHand.size === 0) return;
    this.telling = true;
    const told = [...this.inHand.values()].map((work) => ({ work, news: work.news }));
    try {
      const { stop } = await this.ports.tell(told.map(({ news }) => news));
      for (const { work, news } of told) {
        const lost = stop.includes(work.order.imageId);
        if (lost) work.ended.abort();
        if (lost || news.state !== 'downloading') this.letGo(work);
      }
    } catch (error) {
      this.ports.logger.warn({ err: error }, 'news of images could not be told; they will be told again');
    } finally {
      this.telling = false;
    }
  }

  private letGo(work: Work): void {
    if (this.inHand.get(work.order.imageId) === work) this.inHand.delete(work.order.imageId);
    if (this.inHand.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }
}
