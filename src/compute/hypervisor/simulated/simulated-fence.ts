/** What the watchdog does to simulated guests: written into the journal, as the worker itself would have written it. */
import { appendFile } from 'node:fs/promises';
import { readJournal, simulatedJournal } from './journal.js';

/** Nothing that is marked for another node runs any more. May be repeated, and called beside a living worker. */
export async function fenceSimulatedGuests(stateFolder: string): Promise<void> {
  const path = simulatedJournal(stateFolder);
  const running = [...(await readJournal(path)).values()].filter(({ state, autoRecover }) => state === 'running' && autoRecover === true);
  if (running.length === 0) return;
  await appendFile(path, running.map((domain) => `${JSON.stringify({ ...domain, state: 'stopped' })}\n`).join(''));
}
