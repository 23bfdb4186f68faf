/** The client commands as a tenant of a cloud types them, in this process. */
import { jest } from '@jest/globals';
import { parseCommandLine } from '../../src/cli/command-line.js';
import { COMMAND_MODULES } from '../../src/cli/command-modules.js';
import type { Cloud } from './cloud.js';

export interface Printed {
  readonly text: string;
  readonly status: number;
}

/** @returns what a command prints, and its exit status. */
export async function runCommand(cloud: Cloud, ...args: string[]): Promise<Printed> {
  const { command, flags } = parseCommandLine(args);
  const { run } = await COMMAND_MODULES[command]();
  const printed: string[] = [];
  const write = jest.spyOn(process.stdout, 'write').mockImplementation((text) => printed.push(String(text)) > 0);
  try {
    const status = await run({ flags, environment: { BATON_URL: cloud.url, BATON_API_KEY: cloud.demo.key } });
    return { text: printed.join(''), status: status ?? 0 };
  } finally {
    write.mockRestore();
  }
}
