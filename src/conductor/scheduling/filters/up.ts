/** A node that has missed its heartbeats would leave the task in its queue. */
import { nodesThat } from '../quantities.js';
import type { Filter } from './filter.js';

export const upFilter: Filter = {
  name: 'up',
  keeps: (node) => node.up,
  reason: () => 'is down',
  summary: (removed) => nodesThat(removed, 'is down', 'are down'),
};
