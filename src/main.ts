#!/usr/bin/env node
/**
 * The one program: reads the command line, loads the command that was asked for and nothing else, and turns errors
 * into exit statuses: 2 for wrong usage or configuration, with the message alone; 1 for everything that went wrong
 * later, also what nobody foresaw.
 */
import { readFileSync } from 'node:fs';
import { parseCommandLine, UsageError } from './cli/command-line.js';
import { COMMAND_MODULES } from './cli/command-modules.js';
import { commandHelp, generalHelp } from './cli/help.js';
import { ConfigError } from './config/load.js';

const COMMAND_MODULES: Record<CommandName, () => Promise<{ run: Run }>> = {
  conductor: () => import('./cli/commands/conductor.js'),
  compute: () => import('./cli/commands/compute.js'),
  'all-in-one': () => import('./cli/commands/all-in-one.js'),
  migrate: () => import('./cli/commands/migrate.js'),
  seed: () => import('./cli/commands/seed.js'),
  'admin fsck': () => import('./cli/commands/admin-fsck.js'),
  'admin join-token': () => import('./cli/commands/admin-join-token.js'),
  'admin member': () => import('./cli/commands/admin-member.js'),
  'admin quota': () => import('./cli/commands/admin-quota.js'),
  'admin price': () => import('./cli/commands/admin-price.js'),
  'admin auto-recover': () => import('./cli/commands/admin-auto-recover.js'),
  'admin dead-letters': () => import('./cli/commands/admin-dead-letters.js'),
  'admin node drain': () => import('./cli/commands/admin-node-drain.js'),
  'admin node undrain': () => import('./cli/commands/admin-node-undrain.js'),
  'admin nodes': () => import('./cli/commands/admin-nodes.js'),
  'admin overdue': () => import('./cli/commands/admin-overdue.js'),
  'admin tasks': () => import('./cli/commands/admin-tasks.js'),
  'image list': () => import('./cli/commands/image-list.js'),
  'image show': () => import('./cli/commands/image-show.js'),
  'image add': () => import('./cli/commands/image-add.js'),
  'image upload': () => import('./cli/commands/image-upload.js'),
  'image delete': () => import('./cli/commands/image-delete.js'),
  'vm create': () => import('./cli/commands/vm-create.js'),
  'volume list': () => import('./cli/commands/volume-list.js'),
  'volume create': () => import('./cli/commands/volume-create.js'),
  'volume grow': () => import('./cli/commands/volume-grow.js'),
  'volume callback': () => import('./cli/commands/volume-callback.js'),
  'vm metrics': () => import('./cli/commands/vm-metrics.js'),
  'vm console': () => import('./cli/commands/vm-console.js'),
  apply: () => import('./cli/commands/apply.js'),
  'gitops add': async () => ({ run: (await import('./cli/commands/gitops.js')).add }),
  'gitops list': async () => ({ run: (await import('./cli/commands/gitops.js')).list }),
  'gitops show': async () => ({ run: (await import('./cli/commands/gitops.js')).show }),
  'gitops plan': async () => ({ run: (await import('./cli/commands/gitops.js')).plan }),
  'gitops diff': async () => ({ run: (await import('./cli/commands/gitops.js')).diff }),
  'gitops sync': async () => ({ run: (await import('./cli/commands/gitops.js')).sync }),
  'gitops pause': async () => ({ run: (await import('./cli/commands/gitops.js')).pause }),
  'gitops resume': async () => ({ run: (await import('./cli/commands/gitops.js')).resume }),
  'gitops rollback': async () => ({ run: (await import('./cli/commands/gitops.js')).rollback }),
  'gitops remove': async () => ({ run: (await import('./cli/commands/gitops.js')).remove }),
};

async function main(args: readonly string[]): Promise<number | void> {
  const { command, explicit, flags } = parseCommandLine(args);
  if (flags['help'] === true) return show(explicit ? commandHelp(command) : generalHelp());
  if (flags['version'] === true) return show(`baton ${version()}\n`);
  if (flags['print-config'] === true) return show((await import('./cli/print-config.js')).configurationOf(command, flags));
  const { run } = await COMMAND_MODULES[command]();
  return await run({ flags, environment: process.env });
}

function show(text: string): number {
  process.stdout.write(text);
  return 0;
}

function version(): string {
  const file = new URL('../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
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
