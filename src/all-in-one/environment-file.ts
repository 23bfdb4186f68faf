/**
 * `var/baton.env`: what people and scripts need to reach this cloud, in the form of a shell's assignments, readable by
 * its owner alone. It also is the memory of the API key and of the hypervisor that the cloud was made with.
 */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const NAMES = ['BATON_URL', 'BATON_API_KEY', 'BATON_SECRET_KEY', 'BATON_HYPERVISOR', 'BATON_NODES', 'DATABASE_URL'] as const;

export type EnvironmentEntries = Readonly<Partial<Record<(typeof NAMES)[number], string>>>;

export class EnvironmentFile {
  readonly path: string;

  constructor(home: string) {
    this.path = join(home, 'baton.env');
  }

  async read(): Promise<EnvironmentEntries> {
    const content = await readFile(this.path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '';
      throw error;
    });
    const pairs = content.split('\n').map((line) => line.split(/=(.*)/s, 2));
    return Object.fromEntries(pairs.filter(([name]) => (NAMES as readonly string[]).includes(name!)));
  }

  async write(entries: EnvironmentEntries): Promise<void> {
    const lines = NAMES.filter((name) => entries[name] !== undefined).map((name) => `${name}=${entries[name]}\n`);
    await writeFile(`${this.path}.new`, lines.join(''), { mode: 0o600 });
    await rename(`${this.path}.new`, this.path);
  }
}
