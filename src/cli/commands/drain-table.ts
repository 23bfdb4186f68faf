import type { DrainProgress } from '../../conductor/fleet/node-drain.js';
import { formatTable } from '../table.js';

export const drainTable = ({ name, state, vms, stoppedByDrain, volumes }: DrainProgress): string =>
  formatTable(
    ['NODE', 'STATE', 'VMS', 'STOPPED BY DRAINING', 'VOLUMES'],
    [
      [
        name,
        state,
        Object.entries(vms)
          .map(([status, count]) => `${count} ${status}`)
          .join(', ') || 'none',
        String(stoppedByDrain),
        String(volumes),
      ],
    ],
  );
