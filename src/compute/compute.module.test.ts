/**
 * Boots the compute role from its sources in a process of its own, up to its refusal to join without a token, and
 * looks at every module that was loaded on the way.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

const SOURCES = pathToFileURL(`${process.cwd()}/src/`).href;

/** Loads `.ts` where `.js` is asked for, and prints each module that is loaded. */
const HOOKS = `
  import { writeSync } from 'node:fs';
  import { createRequire } from 'node:module';
  import { fileURLToPath } from 'node:url';
  const { transformFile } = createRequire('${SOURCES}')('@swc/core');
  const ours = (url) => url.startsWith('${SOURCES}');
  export const resolve = (specifier, context, next) =>
    next(ours(context.parentURL ?? '') && specifier.startsWith('.') ? specifier.replace(/\\.js$/, '.ts') : specifier, context);
  export async function load(url, context, next) {
    writeSync(1, url + '\\n');
    if (!ours(url)) return next(url, context);
    return { format: 'module', shortCircuit: true, source: (await transformFile(fileURLToPath(url))).code };
  }`;

const BOOT = `
  import { createRequire, register } from 'node:module';
  register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(HOOKS)}));
  const { startComputeWorker } = await import('${SOURCES}compute/compute.module.ts');
  const { loadConfig } = await import('${SOURCES}config/load.ts');
  const { EmbeddedTaskBus } = await import('${SOURCES}messaging/embedded/embedded-task-bus.ts');
  const { pino } = await import('pino');
  const logger = pino({ level: 'silent' });
  const options = { consumer: new EmbeddedTaskBus(logger), conductorUrl: 'http://127.0.0.1:9', nodeName: 'node-1', logger };
  await startComputeWorker(loadConfig(['compute'], {}, process.env), options).catch((error) => console.log(error.message));
  for (const path of Object.keys(createRequire('${SOURCES}').cache)) console.log(path);`;

describe('the compute role', () => {
  let folder: string;
  let output: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'baton-graph-'));
    const environment = { PATH: process.env['PATH'], BATON_HYPERVISOR: 'simulated', BATON_STATE_FOLDER: folder };
    const child = promisify(execFile)(process.execPath, ['--input-type=module', '--eval', BOOT], { env: environment });
    output = (await child).stdout;
  }, 60_000);

  afterAll(async () => await rm(folder, { recursive: true }));

  const loaded = (name: string): string[] => output.split('\n').filter((line) => line.includes(`/node_modules/${name}/`));

  it('boots', () => {
    expect(output).toContain("Node 'node-1' has no key yet and no join token.");
    expect(loaded('undici')).not.toEqual([]);
    expect(loaded('@nestjs/core')).not.toEqual([]);
  });

  it.each(['typeorm', '@nestjs/typeorm', 'pg', 'fastify', '@nestjs/platform-fastify'])('does not load %s', (name) => {
    expect(loaded(name)).toEqual([]);
  });

  it('does not load the libvirt adapter for simulated guests', () => {
    expect(loaded('koffi')).toEqual([]);
    expect(output).not.toContain('libvirt-hypervisor');
  });

  it('loads nothing of the conductor', () => {
    expect(output).not.toContain('/src/conductor/');
  });
});
