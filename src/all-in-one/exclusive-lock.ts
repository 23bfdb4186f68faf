/**
 * One `bin/up` at a time on one folder. The lock is the kernel's (flock), so it is free again the moment its holder
 * dies, however it dies; the process id in the file is only there to be told to people.
 */
import { readFileSync, openSync, ftruncateSync, writeSync } from 'node:fs';
import koffi from 'koffi';

const LOCK_EX = 2;
const LOCK_NB = 4;

class AlreadyRunningError extends Error {
  constructor(folder: string, pid: string) {
    super(
      `Another bin/up${pid === '' ? '' : ` (process ${pid})`} is running on ${folder}. ` +
        'Stop it with Ctrl-C, or give this one a folder of its own: BATON_VAR=/some/folder bin/up --port 8081',
    );
    this.name = 'AlreadyRunningError';
  }
}

/** Held until the process ends. Node opens files close-on-exec, so no child keeps it. */
export function lockExclusively(folder: string): void {
  const path = `${folder}/up.lock`;
  const file = openSync(path, 'a+', 0o644);
  const flock = koffi.load(null).func('int flock(int fd, int operation)') as (fd: number, operation: number) => number;
  if (flock(file, LOCK_EX | LOCK_NB) !== 0) throw new AlreadyRunningError(folder, readFileSync(path, 'utf8').trim());
  ftruncateSync(file, 0);
  writeSync(file, `${process.pid}\n`);
}
