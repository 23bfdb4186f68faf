import { migrate, schemaDifferences } from '../../conductor/database/migrate.js';
import type { Run } from './command.js';
import { print, withDatabase } from './database.js';

export const run: Run = async (invocation) =>
  await withDatabase(invocation, async (dataSource) => {
    if (invocation.flags['check'] !== true) {
      const ran = await migrate(dataSource);
      print(ran.length === 0 ? 'The schema is up to date.' : `Ran ${ran.join(', ')}.`);
      return 0;
    }
    const differences = await schemaDifferences(dataSource);
    if (differences.length === 0) {
      print('The database is what the entities say.');
      return 0;
    }
    print(differences.map((statement) => `${statement};`).join('\n'));
    return 1;
  });
