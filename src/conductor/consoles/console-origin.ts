/**
 * Whose page may open a console. A browser says which page a websocket is for, and cannot be made to say otherwise; a
 * page of another site would use the ticket of somebody who was lured to it. Programs that are no browsers say nothing:
 * for them the ticket is enough.
 */
import type { IncomingHttpHeaders } from 'node:http';

/** @param publicUrl where browsers reach the conductors, if it was configured. */
export function isOwnOrigin({ origin, host }: IncomingHttpHeaders, publicUrl: string | undefined): boolean {
  if (origin === undefined) return true;
  if (!URL.canParse(origin)) return false;
  const { host: page, origin: normal } = new URL(origin);
  return publicUrl === undefined ? page === host : normal === new URL(publicUrl).origin;
}

/** Where a browser of this caller finds the pages: as configured, else as it has found this answer. */
export function pageAddress(protocol: string, host: string | undefined, publicUrl: string | undefined): string {
  return (publicUrl ?? `${protocol}://${host}`).replace(/\/+$/, '');
}
