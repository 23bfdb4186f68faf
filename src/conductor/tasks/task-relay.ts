/**
 * The relay: takes committed tasks from the outbox and hands them to the task bus. It is woken in-process by whoever
 * committed one, and looks every second anyway, because another conductor may have died between commit and publish.
 *
 * Any number of conductors relay at once: a row is leased (`FOR UPDATE SKIP LOCKED`, `available_at` moved to the
 * lease's end), so a task is normally published once; published twice it is harmless. It never forgets one: a task
 * that could not be published stays pending, and one that nobody reported on is published again past its deadline.
 */
import { Inject, Injectable, Logger, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import type { TaskPublisher } from '../../messaging/task-bus.js';
import type { IncarnationId, TaskId, VmId, VmUuid, VolumeUuid } from '../../protocol/ids.js';
import { PROTOCOL_VERSION, type DesiredPower, type VmHardware, type VmSpec } from '../../protocol/task.js';
import type { VolumeSpec } from '../../protocol/volume.js';
import { PreparedStatement } from '../database/prepared-statement.js';
import { TASK_PUBLISHER } from './task-publisher.token.js';
import { crashPoint } from '../../crash-points.js';

const BATCH = 256;
const POLL_MS = 1_000;
/** How long a relay may take to publish a batch before another may take it over. */
const LEASE_SECONDS = 5;
/** What a worker may take to copy a disk: a task that asks for it is not published again before. */
const SNAPSHOT_SECONDS = 30 * 60;
/** Wait before a task that could not be published is tried again: the broker or the node's queue is away. */
const RETRY_SECONDS = 1;

interface LeasedTask {
  readonly id: TaskId;
  readonly node_name: string;
  readonly vm_id: VmId;
  readonly vm_uuid: VmUuid;
  readonly incarnation_id: IncarnationId;
  readonly generation: number;
  readonly name: string;
  readonly desired_power: DesiredPower;
  readonly hardware: VmHardware;
  readonly has_disk: boolean;
  /** Those of its volumes whose file is there. */
  readonly made_volumes: readonly VolumeUuid[] | null;
}

const LEASE = new PreparedStatement<LeasedTask>(
  'lease tasks',
  `
  WITH due AS (
    SELECT id FROM task WHERE state = 'pending' AND available_at <= now()
     ORDER BY available_at LIMIT ${BATCH} FOR UPDATE SKIP LOCKED
  ), leased AS (
    UPDATE task SET available_at = now() + interval '${LEASE_SECONDS} seconds', attempts = attempts + 1
      FROM due WHERE task.id = due.id RETURNING task.*
  )
  SELECT t.id, n.name AS node_name, vm.id AS vm_id, vm.uuid AS vm_uuid, t.incarnation_id, vm.generation, vm.name,
         CASE WHEN i.ended_at IS NULL THEN vm.desired_power ELSE 'absent' END AS desired_power, vm.hardware,
         vm.has_run AND i.ended_at IS NULL AS has_disk,
         CASE WHEN vm.hardware ?| ARRAY['volumes', 'rootVolume'] THEN
           ARRAY(SELECT v.uuid FROM volume_attachment a JOIN volume v ON v.id = a.volume_id
                  WHERE a.virtual_machine_id = vm.id AND a.status <> 'DETACHED' AND v.prepared_at IS NOT NULL) END AS made_volumes
    FROM leased t
    JOIN incarnation i ON i.id = t.incarnation_id
    JOIN compute_node n ON n.id = t.compute_node_id
    JOIN virtual_machine vm ON vm.id = t.virtual_machine_id
   ORDER BY t.created_at, t.generation`,
);

const PUBLISHED = new PreparedStatement(
  'mark tasks as published',
  `UPDATE task SET state = 'published', deadline_at = now() + make_interval(secs => $2), last_error = NULL
    WHERE id = ANY($1) AND state = 'pending'`,
);

@Injectable()
export class TaskRelay implements OnModuleInit, OnModuleDestroy {
  private readonly logger = new Logger(TaskRelay.name);
  private timer: NodeJS.Timeout | undefined;
  private woken = false;
  private running: Promise<void> | undefined;
  private stopped = false;
  /** So that a broker that is away is logged once, not every second. */
  private failing = false;

  constructor(
    private readonly dataSource: DataSource,
    @Inject(TASK_PUBLISHER) private readonly publisher: TaskPublisher,
    @InjectConfig() private readonly config: Config,
  ) {}

  onModuleInit(): void {
    this.timer = setInterval(() => this.wake(), POLL_MS);
  }

  async onModuleDestroy(): Promise<void> {
    this.stopped = true;
    clearInterval(this.timer);
    await this.running;
  }

  /** To be called after the commit of a task. Returns at once. */
  wake(): void {
    this.woken = true;
    if (this.stopped || this.running !== undefined) return;
    this.running = this.run().finally(() => {
      this.running = undefined;
      if (this.woken) this.wake();
    });
  }

  private async run(): Promise<void> {
    try {
      while (this.woken && !this.stopped) {
        this.woken = false;
        while ((await this.relayBatch()) === BATCH && !this.stopped);
      }
    } catch (error) {
      this.woken = false;
      this.complain(error as Error);
    }
  }

  private async relayBatch(): Promise<number> {
    const tasks = await LEASE.run(this.dataSource, []);
    if (tasks.length === 0) return 0;
    crashPoint('relay:leased');
    const published: TaskId[] = [];
    const long: TaskId[] = [];
    const kept = new Map<string, TaskId[]>();
    await Promise.all(
      tasks.map(async (task) => {
        const problem = await this.publish(task);
        if (problem === undefined) (task.hardware.snapshot === undefined ? published : long).push(task.id);
        else kept.set(problem, [...(kept.get(problem) ?? []), task.id]);
      }),
    );
    crashPoint('relay:published');
    if (published.length > 0)
      await PUBLISHED.run(this.dataSource, [published, this.config.taskDeadlineSeconds]);
    if (long.length > 0) await PUBLISHED.run(this.dataSource, [long, Math.max(SNAPSHOT_SECONDS, this.config.taskDeadlineSeconds)]);
    for (const [problem, ids] of kept)
      await this.dataSource.query(
        `UPDATE task SET available_at = now() + make_interval(secs => $2), last_error = $3
          WHERE id = ANY($1) AND state = 'pending'`,
        [ids, RETRY_SECONDS, problem],
      );
    if (kept.size === 0) this.recovered();
    else this.complain(new Error([...kept.keys()].join('; ')));
    return kept.size === 0 ? tasks.length : 0;
  }

  /** @returns why it was not published. */
  private async publish(task: LeasedTask): Promise<string | undefined> {
    try {
      const outcome = await this.publisher.publish(task.node_name, {
        version: PROTOCOL_VERSION,
        taskId: task.id,
        vmId: task.vm_id,
        vmUuid: task.vm_uuid,
        incarnationId: task.incarnation_id,
        generation: task.generation,
        spec: specOf(task),
      });
      if (outcome === 'confirmed') return undefined;
      // Somebody deleted the queue: make it again, the next round will find it.
      await this.publisher.declareQueue(task.node_name);
      return `node ${task.node_name} had no queue`;
    } catch (error) {
      return (error as Error).message.slice(0, 200);
    }
  }

  private complain(error: Error): void {
    if (!this.failing) this.logger.warn(`Tasks wait in the outbox: ${error.message}`);
    this.failing = true;
  }

  private recovered(): void {
    if (this.failing) this.logger.log('The outbox is moving again.');
    this.failing = false;
  }
}

/** What is known to be on the node already is said to be: the worker never makes it a second time. */
function specOf({ hardware, name, desired_power, has_disk, made_volumes }: LeasedTask): VmSpec {
  const told = (volume: VolumeSpec): VolumeSpec => (made_volumes?.includes(volume.uuid) ? { ...volume, isMade: true } : volume);
  return {
    ...hardware,
    ...(hardware.rootVolume && { rootVolume: told(hardware.rootVolume) }),
    ...(hardware.volumes && { volumes: hardware.volumes.map(told) }),
    name,
    power: desired_power,
    ...(has_disk && { hasDisk: true }),
  };
}
