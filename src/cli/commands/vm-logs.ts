import { stripVTControlCharacters } from 'node:util';
import { ApiClient } from '../api-client.js';
import { integerFlag } from '../command-line.js';
import { until } from '../waiting.js';
import type { Run } from './command.js';

const MOST_LINES = 10_000;

export const run: Run = async ({ flags, environment }) => {
  const length = integerFlag(flags, 'lines', 100, [1, MOST_LINES]);
  const api = new ApiClient(environment);
  const path = `${await api.vmPath(flags['name'] as string)}/logs`;
  const { request_id: request } = await api.call<{ request_id: number }>('POST', path, { length });
  const logs = await until(async () => (await api.get<{ logs: string | null }>(`${path}?request_id=${request}`)).logs ?? undefined);
  process.stdout.write(process.stdout.isTTY ? harmless(logs) : logs);
};

/** A guest writes what it likes on its console, also what would take over the terminal of whoever reads it. */
const harmless = (text: string): string => stripVTControlCharacters(text).replace(/[^\P{Cc}\n\t]/gu, '');
