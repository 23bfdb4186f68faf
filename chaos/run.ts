/** One run: load with faults for a while, quiet, and then the promises held against what is there. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { fsck } from '../src/conductor/admin/fsck.js';
import { startChaosCluster } from './cluster.js';
import { printEvidence } from './evidence.js';
import { FAULTS } from './faults.js';
import { Load, type Acknowledged } from './load.js';
import { Random } from './random.js';

const QUIET_SECONDS = 60;
const BETWEEN_FAULTS_MS = 3_000;

export interface Verdict {
  readonly seed: number;
  readonly seconds: number;
  readonly faults: Record<string, number>;
  readonly operations: Record<string, number>;
  readonly vms: number;
  /** VMs that were started anew on another node. */
  readonly moved: number;
  readonly settledAfterSeconds: number | null;
  /** Every promise that was broken, in words; none is the good answer. */
  readonly broken: readonly string[];
}

export interface ChaosRun {
  readonly seconds: number;
  readonly seed: number;
  /** Of `FAULTS`: what may happen. */
  readonly faultNames: readonly string[];
}

export async function runChaos({ seconds, seed, faultNames }: ChaosRun): Promise<Verdict> {
  const random = new Random(seed);
  const cluster = await startChaosCluster();
  try {
    const database = cluster.openDatabase;
    await untilFleetIsUp(await database(), cluster.nodeNames.length);
    const load = new Load(cluster, new Random(seed + 1));
    const faults: Record<string, number> = {};
    const end = Date.now() + seconds * 1_000;
    while (Date.now() < end) {
      await sleep(random.below(BETWEEN_FAULTS_MS));
      const name = random.pick(faultNames);
      console.error(`${Math.round((end - Date.now()) / 1_000)} s left: ${name}`);
      await FAULTS[name]!(cluster, random);
      faults[name] = (faults[name] ?? 0) + 1;
    }
    console.error('no more faults');
    const quiet = Date.now();
    await load.stop(QUIET_SECONDS * 1_000);
    const connection = await database();
    const settledAfterSeconds = await settled(connection, quiet);
    const broken = await brokenPromises(connection, load.acknowledged);
    const [{ vms, moved }] = await connection.query<[{ vms: number; moved: number }]>(
      `SELECT (SELECT count(*) FROM virtual_machine)::int AS vms,
              (SELECT count(*) - count(DISTINCT virtual_machine_id) FROM incarnation)::int AS moved`,
    );
    cluster.workers.forEach(({ process: worker }, index) => {
      if (!worker.running) broken.push(`dead: worker ${cluster.nodeNames[index]} ended by itself: ${worker.lastOutput.slice(-1_500)}`);
    });
    if (settledAfterSeconds === null || broken.length > 0) await printEvidence(connection, cluster);
    await connection.destroy();
    if (settledAfterSeconds === null) broken.push(`not settled ${QUIET_SECONDS} s after the last fault`);
    return { seed, seconds, faults, operations: load.acknowledged.operations, vms, moved, settledAfterSeconds, broken };
  } finally {
    await cluster.stop();
  }
}

async function untilFleetIsUp(database: DataSource, nodes: number): Promise<void> {
  const up = `SELECT count(*)::int AS up FROM compute_node_heartbeat WHERE beat_at > now() - interval '3 seconds'`;
  while ((await database.query<[{ up: number }]>(up))[0].up < nodes) await sleep(100);
  await database.destroy();
}

/** @returns the seconds from `quiet` until nothing was unfinished any more. */
async function settled(database: DataSource, quiet: number): Promise<number | null> {
  while (Date.now() - quiet < QUIET_SECONDS * 1_000) {
    const [{ unfinished }] = await database.query<[{ unfinished: number }]>(
      `SELECT (SELECT count(*) FROM task WHERE state IN ('pending', 'published'))
            + (SELECT count(*) FROM virtual_machine WHERE deleted_at IS NULL AND status LIKE '%ING') AS unfinished`,
    );
    if (Number(unfinished) === 0) return Math.round((Date.now() - quiet) / 100) / 10;
    await sleep(200);
  }
  return null;
}

async function brokenPromises(database: DataSource, { created, deleted, badAnswers, unanswered }: Acknowledged): Promise<string[]> {
  const rows = await database.query<{ id: number; name: string; status: string; deleted: boolean }[]>(
    'SELECT id, name, status, deleted_at IS NOT NULL AS deleted FROM virtual_machine',
  );
  const byId = new Map(rows.map((row) => [row.id, row]));
  const broken = [...badAnswers.map((answer) => `a bad answer: ${answer}`), ...unanswered.map((what) => `stuck: ${what} had no answer`)];
  for (const [id, name] of created) if (byId.get(id)?.name !== name) broken.push(`lost: VM ${id} ${name} was acknowledged`);
  for (const { id, name } of rows) if (!created.has(id)) broken.push(`twice: VM ${id} ${name} was never acknowledged`);
  for (const id of deleted) if (byId.get(id)?.deleted === false) broken.push(`not deleted: VM ${id}`);
  for (const { id, status, deleted: gone } of rows)
    if (!gone && !['ACTIVE', 'SHUTOFF'].includes(status)) broken.push(`stuck: VM ${id} is ${status}`);
  const doubled = await database.query<{ uuid: string; nodes: number }[]>(
    `SELECT d."vmUuid" AS uuid, count(*)::int AS nodes
       FROM compute_node_heartbeat h CROSS JOIN jsonb_to_recordset(h.inventory) AS d("vmUuid" uuid, state text)
      WHERE d.state = 'running' GROUP BY 1 HAVING count(*) > 1`,
  );
  for (const { uuid, nodes } of doubled) broken.push(`doubled: VM ${uuid} runs on ${nodes} nodes`);
  for (const finding of await fsck(database)) broken.push(`${finding.invariant}: ${finding.subject}: ${finding.detail}`);
  return broken;
}
