/** A VM lives in the region of its environment. */
import { nodesThat } from '../quantities.js';
import type { Filter } from './filter.js';

export const regionFilter: Filter = {
  name: 'region',
  keeps: (node, request) => node.regionId === request.regionId,
  reason: (_node, request) => `is not in region ${request.regionName}`,
  summary: (removed) => nodesThat(removed, 'is in another region', 'are in other regions'),
};
