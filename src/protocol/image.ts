/**
 * How an image that an organization registers by URL comes to the cloud: the answer to a heartbeat orders a node to
 * download it, the node tells how far it is and what it found. Every other node fetches it later, when a VM needs it.
 *
 * An order is good for one attempt of one node; the conductor refuses news of any other, so that a node which was given
 * up for dead and comes back cannot decide what another one found.
 */
import type { ImageId } from './ids.js';

export interface ImageChecksum {
  readonly algorithm: 'sha256' | 'sha512';
  /** In lower-case hex, of the whole file. */
  readonly digest: string;
}

export interface ImageOrder {
  readonly imageId: ImageId;
  readonly attempt: number;
  readonly url: string;
  readonly format: 'qcow2' | 'raw';
  readonly checksum: ImageChecksum;
  /** Limits of the file, and of the disk that it unpacks to. */
  readonly mostBytes: number;
  readonly mostVirtualBytes: number;
}

export type ImageNews = { readonly imageId: ImageId; readonly attempt: number } & (
  | { readonly state: 'downloading'; readonly bytes: number; readonly totalBytes?: number | undefined }
  | { readonly state: 'checked'; readonly sha256: string; readonly bytes: number; readonly virtualBytes: number }
  /** `retryable`: it may pass, here or on another node. `reason` is in words fit for the image's owner. */
  | { readonly state: 'failed'; readonly reason: string; readonly retryable: boolean }
);

export interface ImageNewsBatch {
  readonly session: number;
  readonly news: readonly ImageNews[];
}

export interface ImageNewsAnswer {
  /** Images that are no longer this node's to download. */
  readonly stop: readonly ImageId[];
}
