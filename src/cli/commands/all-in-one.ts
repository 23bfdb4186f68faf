import { startAllInOne } from '../../all-in-one/all-in-one.js';
import { MOST_NODES } from '../../all-in-one/compute-nodes.js';
import type { HypervisorWish } from '../../all-in-one/decide-hypervisor.js';
import { TerminalProgress } from '../../all-in-one/progress.js';
import { withDevelopmentDefaults } from '../../all-in-one/settings.js';
import { loadConfig } from '../../config/load.js';
import { integerFlag, UsageError } from '../command-line.js';
import { Shutdown } from '../shutdown.js';
import type { Run } from './command.js';

const WISHES: readonly string[] = ['auto', 'libvirt', 'simulated'] satisfies HypervisorWish[];

export const run: Run = async ({ flags, environment: given }) => {
  const environment = withDevelopmentDefaults(given);
  const hypervisor = String(flags['hypervisor'] ?? (environment['BATON_HYPERVISOR'] || 'auto'));
  if (!WISHES.includes(hypervisor)) throw new UsageError(`--hypervisor must be ${WISHES.join(', ')}.`);
  const nodes = flags['nodes'] === undefined ? undefined : integerFlag(flags, 'nodes', 1, [1, MOST_NODES]);
  // Everything else is checked before anything is started.
  const databaseUrl = environment['DATABASE_URL'] || 'postgres://not-started-yet';
  const decided = { ...environment, DATABASE_URL: databaseUrl, BATON_HYPERVISOR: 'simulated' };
  loadConfig(['conductor', 'compute'], { ...flags, hypervisor: undefined }, decided);

  const shutdown = new Shutdown((message) => process.stderr.write(`${message}\n`));
  try {
    await startAllInOne({ flags, environment, hypervisor: hypervisor as HypervisorWish, nodes }, shutdown, new TerminalProgress());
  } catch (error) {
    // What a stop in the middle of starting breaks is no failure.
    if (shutdown.underWay) return;
    await shutdown.stopAll();
    throw error;
  }
};
