/** A VM that failed to start on a node is tried elsewhere: what failed once there would likely fail again. */
import { nodesThat } from '../quantities.js';
import type { Filter } from './filter.js';

export const excludedFilter: Filter = {
  name: 'excluded',
  keeps: (node, request) => request.excludedNodes === undefined || !request.excludedNodes.has(node.id),
  reason: () => 'has already failed to start this VM',
  summary: (removed) => nodesThat(removed, 'has', 'have') + ' already failed to start this VM',
};
