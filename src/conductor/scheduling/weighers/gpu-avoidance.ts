/** Keeps VMs without a GPU off the nodes that have some, where they would use up the vCPUs that GPU VMs need. */
import type { Weigher } from './weigher.js';

export const gpuAvoidanceWeigher: Weigher = {
  name: 'gpu-avoidance',
  weigh: (node, request) => (request.gpu !== undefined || node.gpus.size === 0 ? 1 : 0),
};
