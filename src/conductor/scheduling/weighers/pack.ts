/** Prefers the fullest node that still fits: large VMs find whole nodes later, and idle nodes can be switched off. */
import { freeShare } from './free-share.js';
import type { Weigher } from './weigher.js';

export const packWeigher: Weigher = {
  name: 'pack',
  weigh: (node, request, vms) => 1 - freeShare(node, request, vms),
};
