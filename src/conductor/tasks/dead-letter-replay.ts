/**
 * Dead tasks, as an operator sees them, and asking for one once more: after whatever broke the worker was put right. What
 * is replayed is what the VM's owner wants now, as a new task; one whose VM is gone, or was asked for something else
 * since, has nothing left to replay.
 */
import type { DataSource } from 'typeorm';
import type { TaskId, VmId } from '../../protocol/ids.js';
import type { DesiredPower } from '../../protocol/task.js';
import type { Operation } from '../virtual-machines/vm-status.js';
import { lockVmForCloud, writeWishes } from '../virtual-machines/vm-wishes.js';

export interface DeadTask {
  readonly id: TaskId;
  readonly node: string;
  readonly vm: string;
  readonly power: DesiredPower;
  readonly died_at: Date;
  readonly reason: string | null;
}

export type ReplayOutcome = 'replayed' | 'not dead' | 'gone' | 'overtaken';

/** As it is shown while the VM is on its way again. */
const OPERATION: Readonly<Record<DesiredPower, Exclude<Operation, 'create'>>> = {
  running: 'start',
  stopped: 'stop',
  hibernated: 'hibernate',
  absent: 'delete',
};

export async function deadTasks(dataSource: DataSource): Promise<DeadTask[]> {
  return await dataSource.query<DeadTask[]>(
    `SELECT t.id, n.name AS node, vm.name AS vm, vm.desired_power AS power, t.finished_at AS died_at, t.last_error AS reason
       FROM task t JOIN compute_node n ON n.id = t.compute_node_id JOIN virtual_machine vm ON vm.id = t.virtual_machine_id
      WHERE t.state = 'dead' ORDER BY t.finished_at`,
  );
}

export async function replayDeadTask(dataSource: DataSource, id: TaskId): Promise<ReplayOutcome> {
  return await dataSource.transaction(async (transaction) => {
    const [task] = await transaction.query<{ vm_id: VmId; generation: number }[]>(
      `SELECT virtual_machine_id AS vm_id, generation FROM task WHERE id = $1 AND state = 'dead' FOR UPDATE`,
      [id],
    );
    if (task === undefined) return 'not dead';
    const vm = await lockVmForCloud(transaction, task.vm_id);
    if (vm === undefined || vm.incarnation_id === null) return 'gone';
    if (vm.generation !== task.generation) return 'overtaken';
    const [{ desired_power: desiredPower }] = await transaction.query<[{ desired_power: DesiredPower }]>(
      'SELECT desired_power FROM virtual_machine WHERE id = $1',
      [vm.id],
    );
    const wish = {
      operation: OPERATION[desiredPower],
      desiredPower,
      flavorId: vm.flavor_id,
      hardware: vm.hardware,
      awaitsFloatingIp: vm.awaits_floating_ip,
    };
    await writeWishes(transaction, { userId: null }, new Map([[vm, wish]]));
    await transaction.query(`UPDATE task SET state = 'superseded' WHERE id = $1`, [id]);
    return 'replayed';
  });
}
