import { formatTable } from '../table.js';
import type { Run } from './command.js';
import { print, withDatabase } from './database.js';

interface TaskRow {
  readonly id: string;
  readonly state: string;
  readonly node: string;
  readonly vm: string;
  readonly power: string;
  readonly attempts: number;
  readonly age: number;
  readonly last_error: string | null;
}

const UNFINISHED_TASKS = `
  SELECT task.id, task.state, node.name AS node, vm.name AS vm, vm.desired_power AS power,
         task.attempts, round(extract(epoch FROM now() - task.created_at))::int AS age, task.last_error
    FROM task JOIN compute_node node ON node.id = task.compute_node_id
    JOIN virtual_machine vm ON vm.id = task.virtual_machine_id
   WHERE task.state IN ('pending', 'published')
   ORDER BY task.created_at`;

const HEADER = ['TASK', 'STATE', 'NODE', 'VM', 'SHALL BE', 'ATTEMPTS', 'AGE S', 'LAST ERROR'];

export const run: Run = async (invocation) => {
  const tasks = await withDatabase(invocation, (dataSource) => dataSource.query<TaskRow[]>(UNFINISHED_TASKS));
  const rows = tasks.map((task) => [
    task.id,
    task.state,
    task.node,
    task.vm,
    task.power,
    task.attempts,
    task.age,
    task.last_error,
  ]);
  print(formatTable(HEADER, rows));
};
