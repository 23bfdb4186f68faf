/** The database for a command that does its work and ends. */
import { DataSource } from 'typeorm';
import { dataSourceOptions } from '../../conductor/database/data-source.js';
import { loadConfig } from '../../config/load.js';
import type { Config } from '../../config/settings.js';
import type { Invocation } from './command.js';

const POOL = 2;

export async function withDatabase<T>(
  { flags, environment }: Invocation,
  work: (dataSource: DataSource, config: Config) => Promise<T>,
): Promise<T> {
  const config = loadConfig(['conductor'], flags, environment);
  const dataSource = await new DataSource(dataSourceOptions({ ...config, databasePool: POOL })).initialize();
  try {
    return await work(dataSource, config);
  } finally {
    await dataSource.destroy();
  }
}

export const print = (text: string): void => void process.stdout.write(`${text}\n`);
