/** A VM that is made of a snapshot starts where the snapshot is. */
import { nodesThat } from '../quantities.js';
import type { Filter } from './filter.js';

export const homeFilter: Filter = {
  name: 'home',
  keeps: (node, request) => request.home === undefined || node.id === request.home,
  reason: () => 'does not have the snapshot',
  summary: (removed) => nodesThat(removed, 'does not have the snapshot', 'do not have the snapshot'),
};
