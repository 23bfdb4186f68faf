import { deadTasks, replayDeadTask, type ReplayOutcome } from '../../conductor/tasks/dead-letter-replay.js';
import type { TaskId } from '../../protocol/ids.js';
import { UsageError } from '../command-line.js';
import { formatTable } from '../table.js';
import type { Run } from './command.js';
import { print, withDatabase } from './database.js';

const HEADER = ['TASK', 'NODE', 'VM', 'SHALL BE', 'DIED AT', 'REASON'];

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const REFUSED: Readonly<Record<Exclude<ReplayOutcome, 'replayed'>, string>> = {
  'not dead': 'There is no dead task of this id.',
  gone: 'Its virtual machine is gone: there is nothing left to replay.',
  overtaken: 'Something else was asked of its virtual machine since: there is nothing left to replay.',
};

export const run: Run = async (invocation) => {
  const id = invocation.flags['replay'] as string | undefined;
  if (id !== undefined && !UUID.test(id)) throw new UsageError('--replay takes the id of a task, as the list shows it.');
  await withDatabase(invocation, async (dataSource) => {
    if (id !== undefined) {
      const outcome = await replayDeadTask(dataSource, id as TaskId);
      if (outcome !== 'replayed') throw new UsageError(REFUSED[outcome]);
      return print('Its virtual machine is asked for once more.');
    }
    const rows = (await deadTasks(dataSource)).map((task) => [
      task.id,
      task.node,
      task.vm,
      task.power,
      task.died_at.toISOString(),
      task.reason,
    ]);
    print(formatTable(HEADER, rows));
  });
};
