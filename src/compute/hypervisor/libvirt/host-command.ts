/**
 * Runs one program of the host (qemu-img, nft, ip) with a time limit and tells failures in the port's error type.
 * Arguments are a list, never a shell string; the program's own words go into the cause, for the operator.
 */
import { execFile, type ExecFileException } from 'node:child_process';
import { HypervisorError } from '../hypervisor.js';

export interface CommandOptions {
  readonly timeoutMs: number;
  /** Written to the program's standard input. */
  readonly input?: string;
}

function reasonOf(file: string, error: ExecFileException, timeoutMs: number): string {
  if (error.code === 'ENOENT') return `the program '${file}' is not installed on the compute node`;
  if (error.killed) return `'${file}' did not finish within ${timeoutMs / 1000} s on the compute node`;
  return `'${file}' failed on the compute node`;
}

export function runCommand(file: string, args: readonly string[], options: CommandOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      file,
      args,
      // Output is read by this program: it must not come in the operator's language.
      { timeout: options.timeoutMs, killSignal: 'SIGKILL', env: { ...process.env, LC_ALL: 'C' } },
      (error, stdout, stderr) => {
        if (!error) return resolve(stdout);
        const cause = new Error(`${file} ${args.join(' ')}: ${stderr.trim() || error.message}`);
        reject(new HypervisorError(reasonOf(file, error, options.timeoutMs), error.code !== 'ENOENT', { cause }));
      },
    );
    // A program that dies before it has read everything says why on stderr; the broken pipe adds nothing.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(options.input ?? '');
  });
}
