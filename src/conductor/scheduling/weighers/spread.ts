/** Prefers the emptiest node: one lost node takes few VMs with it, and neighbours are few. */
import { freeShare } from './free-share.js';
import type { Weigher } from './weigher.js';

export const spreadWeigher: Weigher = { name: 'spread', weigh: freeShare };
