#!/usr/bin/env node
/**
 * The one program: reads the command line, loads the command that was asked for and nothing else, and turns errors
 * into exit statuses: 2 for wrong usage or configuration, with the message alone; 1 for everything that went wrong
 * later, also what nobody foresaw.
 */
import { parseCommandLine, UsageError } from './cli/command-line.js';
import { COMMAND_MODULES } from './cli/command-modules.js';
import { commandHelp, generalHelp } from './cli/help.js';
import { ConfigError } from './config/load.js';
import { version } from './version.js';

async function main(args: readonly string[]): Promise<number | void> {
  const { command, explicit, flags } = parseCommandLine(args);
  if (flags['help'] === true) return show(explicit ? commandHelp(command) : generalHelp());
  if (flags['version'] === true) return show(`baton ${version}\n`);
  if (flags['print-config'] === true) return show((await import('./cli/print-config.js')).configurationOf(command, flags));
  const { run } = await COMMAND_MODULES[command]();
  return await run({ flags, environment: process.env });
}

function show(text: string): number {
  process.stdout.write(text);
  return 0;
}

function fail(error: unknown): void {
  if (error instanceof UsageError || error instanceof ConfigError) {
    process.stderr.write(`${error.message}\n`);
    process.exit(2);
  }
  const text = error instanceof Error ? (process.env['BATON_LOG_LEVEL'] === 'debug' ? error.stack : error.message) : String(error);
  process.stderr.write(`baton: ${text || String(error)}\n`);
  process.exit(1);
}

main(process.argv.slice(2)).then((status) => {
  if (status !== undefined) process.exitCode = status;
}, fail);
