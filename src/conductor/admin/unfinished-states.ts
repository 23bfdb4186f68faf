/**
 * Every state that is not the last one, of everything that has states: who brings it on, what happens next, and when an
 * operator has to look. Exhaustive by the types of the states, so that a new one cannot be forgotten; the test asks the
 * same of the CHECK constraints. `admin overdue` and the invariant `nothing-is-overdue` read it.
 *
 * The deadline itself is its owner's: what is told here is that the owner missed it. `due` is the moment from which the
 * owner has to act (a deadline in the row, or when it was asked), `minutes` how long after that it must have done so.
 */
import type { EntityManager } from 'typeorm';
import type { DeliveryState } from '../callbacks/callback-delivery.entity.js';
import type { ImageStatus } from '../catalog/image.entity.js';
import type { ConsoleState } from '../consoles/console-sessions.service.js';
import type { FloatingIpState } from '../floating-ips/floating-ip.entity.js';
import type { SyncState } from '../gitops/gitops-sync.entity.js';
import type { SnapshotStatus } from '../snapshots/snapshot-status.js';
import type { TaskState } from '../tasks/task.entity.js';
import { VM_DEADLINE_MINUTES } from '../tasks/vm-deadlines.js';
import type { VmStatus } from '../virtual-machines/vm-status.js';
import type { AttachmentStatus } from '../volumes/volume-attachment.entity.js';
import { STAGE, type VolumeStage } from '../volumes/volume-view.js';

export interface Unfinished {
  readonly minutes: number;
  readonly owner: string;
  /** What the owner does, or what ends the waiting. */
  readonly next: string;
}

interface Kind<State extends string> {
  readonly states: Readonly<Record<State, 'final' | Unfinished>>;
  /** Rows of `subject`, `state` and `due`, of what is not final; may have others, which count for nothing. */
  readonly rows: string;
}

const kind = <State extends string>(states: Kind<State>['states'], rows: string): Kind<State> => ({ states, rows });

/** A first start image and all may take most of it. Past its deadline the VM ends in ERROR; this is past that. */
const VM_ON_ITS_WAY: Unfinished = {
  minutes: VM_DEADLINE_MINUTES + 5,
  owner: "the worker of the VM's node, and a conductor (vm-deadlines.ts)",
  next: 'the worker reports; without a report within an hour the VM is in ERROR. Does a conductor run? See its log.',
};

const VOLUME_WITH_NODE: Omit<Unfinished, 'next'> = { minutes: 10, owner: "the worker of the volume's node (asked by each heartbeat)" };

export const UNFINISHED = {
  'virtual machine': kind<VmStatus>(
    {
      CREATING: VM_ON_ITS_WAY,
      BUILD: VM_ON_ITS_WAY,
      STARTING: VM_ON_ITS_WAY,
      STOPPING: VM_ON_ITS_WAY,
      REBOOTING: VM_ON_ITS_WAY,
      HIBERNATING: VM_ON_ITS_WAY,
      RESTORING: VM_ON_ITS_WAY,
      RESIZING: VM_ON_ITS_WAY,
      DELETING: {
        minutes: 60,
        owner: "the worker of the VM's node",
        next: 'it is asked again until it reports that nothing is left. Is the node up? If it is, restart its worker.',
      },
      ACTIVE: 'final',
      SHUTOFF: 'final',
      HIBERNATED: 'final',
      ERROR: 'final',
      DELETED: 'final',
    },
    `SELECT vm.id::text AS subject, vm.status AS state,
            coalesce((SELECT max(t.created_at) FROM task t WHERE t.virtual_machine_id = vm.id AND t.generation = vm.generation), vm.created_at) AS due
       FROM virtual_machine vm WHERE vm.deleted_at IS NULL`,
  ),
  volume: kind<VolumeStage>(
    {
      preparing: { ...VOLUME_WITH_NODE, next: 'it is made of its image. Is its node up, with room on its disk? See its log.' },
      removing: { ...VOLUME_WITH_NODE, next: 'its file is removed. Is the node up? It is removed when it is back.' },
      failed: 'final',
      ready: 'final',
      gone: 'final',
    },
    `SELECT v.id::text AS subject, ${STAGE} AS state, coalesce(v.removal_requested_at, v.created_at) AS due
       FROM volume v WHERE v.deleted_at IS NULL
        AND (v.removal_requested_at IS NOT NULL
             OR NOT EXISTS (SELECT 1 FROM volume_attachment a WHERE a.volume_id = v.id AND a.status <> 'DETACHED'))`,
  ),
  'volume attachment': kind<AttachmentStatus>(
    {
      ATTACHING: { ...VM_ON_ITS_WAY, next: 'its report tells that the domain has the volume. Is the node up? If it is, restart its worker.' },
      DETACHING: { ...VM_ON_ITS_WAY, next: 'its report tells that the domain has let go. Is the node up? If it is, restart its worker.' },
      ATTACHED: 'final',
      DETACHED: 'final',
    },
    // Of a VM in ERROR it waits for what the VM's owner does about that.
    `SELECT a.id::text AS subject, a.status AS state,
            coalesce((SELECT max(t.created_at) FROM task t WHERE t.virtual_machine_id = vm.id AND t.generation = vm.generation), a.created_at) AS due
       FROM volume_attachment a JOIN virtual_machine vm ON vm.id = a.virtual_machine_id
      WHERE a.status <> 'DETACHED' AND vm.status <> 'ERROR'`,
  ),
  snapshot: kind<SnapshotStatus>(
    {
      CREATING: { minutes: 1, owner: 'a conductor (snapshot-deadlines.ts)', next: 'it is given up. Does a conductor run?' },
      DELETING: { minutes: 10, owner: "the worker of the snapshot's node (asked by each heartbeat)", next: 'its file is removed. Is the node up? It is removed when it is back.' },
      SUCCESS: 'final',
      ERROR: 'final',
    },
    `SELECT s.id::text AS subject, CASE WHEN s.removal_requested_at IS NOT NULL THEN 'DELETING' ELSE s.state END AS state,
            coalesce(s.removal_requested_at, s.deadline_at) AS due
       FROM snapshot s WHERE s.deleted_at IS NULL`,
  ),
  'floating IP': kind<FloatingIpState>(
    {
      attaching: { ...VM_ON_ITS_WAY, next: 'its report tells that the address leads to the VM. Is the node up?' },
      detaching: { ...VM_ON_ITS_WAY, next: 'its report tells that the address does not lead there any more; then it is free. Is the node up?' },
      attached: 'final',
      free: 'final',
    },
    `SELECT f.address AS subject,
            CASE WHEN f.changed_for IS DISTINCT FROM vm.id OR f.changed_generation <= vm.observed_generation THEN 'attached'
                 WHEN f.detaching THEN 'detaching' ELSE 'attaching' END AS state,
            coalesce((SELECT max(t.created_at) FROM task t WHERE t.virtual_machine_id = vm.id AND t.generation = vm.generation), vm.created_at) AS due
       FROM floating_ip f JOIN virtual_machine vm ON vm.id = f.virtual_machine_id WHERE vm.status <> 'ERROR'`,
  ),
  image: kind<ImageStatus>(
    {
      'awaiting-upload': { minutes: 2, owner: 'a conductor (image-upkeep.ts)', next: 'it is given up. Does a conductor run?' },
      queued: { minutes: 2, owner: 'a conductor (image-upkeep.ts)', next: 'it is given up. Does a conductor run?' },
      downloading: { minutes: 2, owner: 'a conductor (image-upkeep.ts)', next: 'it is given up. Does a conductor run?' },
      available: 'final',
      error: 'final',
    },
    `SELECT i.id::text AS subject, i.status AS state, t.deadline_at AS due
       FROM image i JOIN image_transfer t ON t.image_id = i.id WHERE i.deleted_at IS NULL`,
  ),
  task: kind<TaskState>(
    {
      pending: { minutes: 10, owner: 'the relay of any conductor (task-relay.ts)', next: 'it is published. Does a conductor run, and does it reach the broker? See its log.' },
      published: { minutes: 5, owner: 'a conductor (task-deadlines.ts)', next: 'it is published again. Does a conductor run?' },
      done: 'final',
      failed: 'final',
      superseded: 'final',
      dead: 'final',
    },
    `SELECT t.id::text AS subject, t.state, CASE t.state WHEN 'published' THEN t.deadline_at ELSE t.available_at END AS due
       FROM task t WHERE t.state IN ('pending', 'published')`,
  ),
  webhook: kind<DeliveryState>(
    {
      pending: { minutes: 30, owner: 'the deliverer of any conductor (callback-deliverer.ts)', next: 'it is tried (again). Does a conductor run? See its log.' },
      delivered: 'final',
      failed: 'final',
    },
    `SELECT d.id::text AS subject, d.state, d.available_at AS due FROM callback_delivery d WHERE d.state = 'pending'`,
  ),
  sync: kind<SyncState>(
    {
      running: { minutes: 10, owner: 'the reconciler of any conductor (gitops/reconcile/reconciler.ts)', next: 'the next pass is made. Does a conductor run? Ask for a sync, or pause and resume the repository.' },
      succeeded: 'final',
      failed: 'final',
      planned: 'final',
      superseded: 'final',
    },
    `SELECT s.id::text AS subject, s.state, greatest(g.next_pass_at, g.lease_until, s.started_at) AS due
       FROM gitops_sync s JOIN git_repository g ON g.id = s.git_repository_id WHERE s.state = 'running' AND NOT g.paused`,
  ),
  console: kind<ConsoleState>(
    {
      requested: { minutes: 5, owner: 'a conductor (console-sessions.service.ts)', next: 'it is ended. Does a conductor run?' },
      ready: { minutes: 5, owner: 'a conductor (console-sessions.service.ts)', next: 'it is ended. Does a conductor run?' },
      open: { minutes: 5, owner: 'the conductor that holds its websocket', next: 'it is renewed or ended. Does a conductor run?' },
      ended: 'final',
    },
    `SELECT c.id::text AS subject, c.state, c.expires_at AS due FROM console_session c WHERE c.state <> 'ended'`,
  ),
} as const;

export interface Overdue {
  /** As in `volume 7`. */
  readonly subject: string;
  readonly state: string;
  readonly due: Date;
  readonly minutes: number;
  readonly owner: string;
  readonly next: string;
}

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

const unfinishedOf = ({ states }: Kind<string>): [string, Unfinished][] =>
  Object.entries(states).filter((entry): entry is [string, Unfinished] => entry[1] !== 'final');

/** Rows of `subject`, `state`, `due`, `minutes`, `owner` and `next`, the longest overdue first. */
export const OVERDUE = `
  SELECT found.* FROM (${Object.entries(UNFINISHED)
    .map(([name, each]) => {
      const limits = unfinishedOf(each as Kind<string>).map(([state, { minutes, owner, next }]) => `(${quoted(state)}, ${minutes}, ${quoted(owner)}, ${quoted(next)})`);
      return `
        SELECT ${quoted(`${name} `)} || r.subject AS subject, r.state, r.due, l.minutes, l.owner, l.next
          FROM (${each.rows}) r JOIN (VALUES ${limits.join(', ')}) AS l(state, minutes, owner, next) ON l.state = r.state`;
    })
    .join(' UNION ALL ')}) AS found
   WHERE found.due < now() - make_interval(mins => found.minutes)
   ORDER BY found.due`;

export const overdue = (query: Pick<EntityManager, 'query'>): Promise<Overdue[]> => query.query<Overdue[]>(OVERDUE);
