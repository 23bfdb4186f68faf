/**
 * The files that a browser needs for a console: two pages of ours, and noVNC and xterm.js as npm has installed them.
 * They are listed when the conductor boots, and only what is on the list is served: there is no path to walk out of, and
 * nothing to be redirected to.
 */
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, extname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface PageFile {
  readonly contentType: string;
  readonly content: Buffer;
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
};

const require = createRequire(import.meta.url);
const OWN = fileURLToPath(new URL('../../../console-pages', import.meta.url));
const noVnc = (): string => dirname(dirname(require.resolve('@novnc/novnc')));
const packageOf = (name: string): string => dirname(require.resolve(`${name}/package.json`));

/** From the address below `/consoles/` to the file. */
export class ConsolePages {
  private readonly paths = new Map<string, string>();
  private readonly contents = new Map<string, Promise<PageFile>>();

  static async list(): Promise<ConsolePages> {
    const pages = new ConsolePages();
    await pages.add('assets/own', OWN);
    for (const part of ['core', 'vendor']) await pages.add(`assets/novnc/${part}`, join(noVnc(), part));
    const xterm = packageOf('@xterm/xterm');
    pages.paths.set('assets/xterm/xterm.mjs', join(xterm, 'lib/xterm.mjs'));
    pages.paths.set('assets/xterm/xterm.css', join(xterm, 'css/xterm.css'));
    pages.paths.set('assets/xterm/addon-fit.mjs', join(packageOf('@xterm/addon-fit'), 'lib/addon-fit.mjs'));
    return pages;
  }

  find(address: string): Promise<PageFile> | undefined {
    const path = this.paths.get(address);
    if (path === undefined) return undefined;
    const known = this.contents.get(address);
    if (known !== undefined) return known;
    const file = readFile(path).then((content) => ({ contentType: TYPES[extname(path)]!, content }));
    this.contents.set(address, file);
    file.catch(() => this.contents.delete(address));
    return file;
  }

  private async add(below: string, folder: string): Promise<void> {
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || TYPES[extname(entry.name)] === undefined) continue;
      const path = join(entry.parentPath, entry.name);
      this.paths.set(`${below}/${relative(folder, path)}`, path);
    }
  }
}
