/**
 * The node's own key, in the state folder: readable by its owner alone, and written whole or not at all, because the
 * conductor gives it out only once.
 */
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

const FILE = 'node.key';

export class NodeKeyFile {
  readonly path: string;

  constructor(private readonly stateFolder: string) {
    this.path = join(stateFolder, FILE);
  }

  async read(): Promise<string | undefined> {
    try {
      return (await readFile(this.path, 'utf8')).trim() || undefined;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Tried before a join token is spent on a key that could then not be kept. */
  async assertWritable(): Promise<void> {
    try {
      await mkdir(this.stateFolder, { recursive: true, mode: 0o755 });
      await (await open(`${this.path}.new`, 'w', 0o600)).close();
      await rm(`${this.path}.new`);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new Error(
        `The state folder ${this.stateFolder} cannot be written (${code}). Give the worker a folder of its own with --state.`,
        { cause: error },
      );
    }
  }

  async write(key: string): Promise<void> {
    const file = await open(`${this.path}.new`, 'w', 0o600);
    try {
      await file.writeFile(`${key}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${this.path}.new`, this.path);
  }
}
