/** An operator empties this node: it must not fill again. */
import { nodesThat } from '../quantities.js';
import type { Filter } from './filter.js';

export const drainingFilter: Filter = {
  name: 'draining',
  keeps: (node) => !node.draining,
  reason: () => 'is draining',
  summary: (removed) => nodesThat(removed, 'is draining', 'are draining'),
};
