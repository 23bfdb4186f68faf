/**
 * A server run for tests: started, awaited until it answers, stopped by its own process id, and never left behind
 * when the test process exits. Its last output is kept, to say why it did not start.
 */
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

const OUTPUT_KEPT = 8_000;
const STOP_PATIENCE_MS = 20_000;

/** Ended with the test process. */
const RUNNING = new Set<ServerProcess>();
process.once('exit', () => {
  for (const server of RUNNING) server.kill();
});

export interface ServerCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly options: Pick<SpawnOptions, 'env' | 'cwd' | 'uid' | 'gid'>;
  readonly stopSignal: NodeJS.Signals;
}

export class ServerProcess {
  private output = '';

  private constructor(
    private readonly child: ChildProcess,
    private readonly command: ServerCommand,
  ) {
    const keep = (chunk: Buffer): void => void (this.output = (this.output + chunk.toString()).slice(-OUTPUT_KEPT));
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    RUNNING.add(this);
    child.once('exit', () => RUNNING.delete(this));
  }

  static async start(command: ServerCommand): Promise<ServerProcess> {
    const child = spawn(command.file, command.args, { ...command.options, stdio: ['ignore', 'pipe', 'pipe'] });
    await once(child, 'spawn');
    return new ServerProcess(child, command);
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** What it said last. */
  get lastOutput(): string {
    return this.output;
  }

  /** Asks `answers` again and again until it does not throw. */
  async untilItAnswers(answers: () => Promise<void>, patienceMs: number): Promise<void> {
    const deadline = Date.now() + patienceMs;
    for (;;) {
      if (!this.running) throw new Error(`${this.command.file} ended at once:\n${this.output}`);
      try {
        return await answers();
      } catch (error) {
        if (Date.now() > deadline) {
          await this.stop('SIGKILL');
          throw new Error(`${this.command.file} did not answer: ${(error as Error).message}\n${this.output}`);
        }
        await sleep(50);
      }
    }
  }

  async stop(signal: NodeJS.Signals = this.command.stopSignal): Promise<void> {
    if (!this.running) return;
    const exited = once(this.child, 'exit');
    const impatience = setTimeout(this.killNow, STOP_PATIENCE_MS);
    this.child.kill(signal);
    await exited;
    clearTimeout(impatience);
  }

  /** Asks it to end, and waits as long as that takes. */
  async endsAfter(signal: NodeJS.Signals): Promise<{ exitCode: number | null; milliseconds: number }> {
    const began = performance.now();
    const exited = once(this.child, 'exit') as Promise<[number | null]>;
    this.child.kill(signal);
    const [exitCode] = await exited;
    return { exitCode, milliseconds: performance.now() - began };
  }

  /** At once, as a power failure would; nobody is waited for. */
  kill(): void {
    this.killNow();
  }

  /** For freezing and thawing it. */
  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  private readonly killNow = (): void => {
    if (this.running) this.child.kill('SIGKILL');
  };
}
