/** Says on standard output what is being done and how long it took: `Starting PostgreSQL … 1.2 s`. */
export interface Progress {
  step<T>(what: string, work: () => Promise<T>): Promise<T>;
  say(line: string): void;
}

export class TerminalProgress implements Progress {
  async step<T>(what: string, work: () => Promise<T>): Promise<T> {
    const begin = performance.now();
    process.stdout.write(`${what} …`);
    try {
      const result = await work();
      process.stdout.write(` ${((performance.now() - begin) / 1000).toFixed(1)} s\n`);
      return result;
    } catch (error) {
      process.stdout.write(' failed\n');
      throw error;
    }
  }

  say(line: string): void {
    process.stdout.write(`${line}\n`);
  }
}
