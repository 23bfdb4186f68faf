/**
 * Taking a node out of placement for maintenance, and back. `draining` is read by the statement that claims capacity, so
 * once this has committed no VM comes to the node any more; those whose claim was committed before are found there.
 *
 * Disks are local, so no VM is moved. `drain_stops` asks for its VMs to be stopped, which `vm-draining.ts` does.
 */
import type { DataSource } from 'typeorm';

export type DrainState = 'in service' | 'draining' | 'draining, VMs are stopped';

export interface DrainProgress {
  readonly name: string;
  readonly state: DrainState;
  /** How many VMs have their place there, by status. */
  readonly vms: Readonly<Record<string, number>>;
  readonly stoppedByDrain: number;
  /** Whose files are there. */
  readonly volumes: number;
}

type Query = Pick<DataSource, 'query'>;

const PROGRESS = `
  SELECT n.name,
         CASE WHEN NOT n.draining THEN 'in service' WHEN n.drain_stops THEN 'draining, VMs are stopped' ELSE 'draining' END AS state,
         coalesce((SELECT jsonb_object_agg(s.status, s.count) FROM (
             SELECT vm.status, count(*)::int AS count FROM incarnation i JOIN virtual_machine vm ON vm.id = i.virtual_machine_id
              WHERE i.compute_node_id = n.id AND i.claimed GROUP BY vm.status ORDER BY vm.status) s), '{}') AS vms,
         (SELECT count(*)::int FROM incarnation i JOIN virtual_machine vm ON vm.id = i.virtual_machine_id
           WHERE i.compute_node_id = n.id AND i.claimed AND vm.stopped_by_drain) AS "stoppedByDrain",
         (SELECT count(*)::int FROM volume v WHERE v.compute_node_id = n.id AND v.deleted_at IS NULL) AS volumes
    FROM compute_node n`;

/** @returns undefined when there is no such node. */
export async function drainNode(on: Query, node: string, { stopVms }: { stopVms: boolean }): Promise<DrainProgress | undefined> {
  await on.query('UPDATE compute_node SET draining = true, drain_stops = $2 WHERE name = $1', [node, stopVms]);
  return await drainProgress(on, node);
}

/** VMs that draining has stopped are started again by `vm-draining.ts`. */
export async function undrainNode(on: Query, node: string): Promise<DrainProgress | undefined> {
  await on.query('UPDATE compute_node SET draining = false, drain_stops = false WHERE name = $1', [node]);
  return await drainProgress(on, node);
}

export async function drainProgress(on: Query, node: string): Promise<DrainProgress | undefined> {
  const [progress] = await on.query<DrainProgress[]>(`${PROGRESS} WHERE n.name = $1`, [node]);
  return progress;
}

export const drainProgressOfAll = (on: Query): Promise<DrainProgress[]> =>
  on.query<DrainProgress[]>(`${PROGRESS} ORDER BY n.name`);
