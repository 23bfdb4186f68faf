/**
 * Attaches volumes to a VM and detaches them: by writing what is wanted. What comes of it is reported by the worker and
 * taken in by `attachment-reports.ts`.
 *
 * Owns `volumes` in the hardware of a VM, always derived anew from the attachments, and the claim of a volume on the node
 * of its first VM. Races: locks go from the VM to the volumes in the order of ids to the node, so that two requests for
 * one volume or for the last room on a node come one after the other; the unique index and the CHECK of the node are the
 * last guards.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { ComputeNodeId, EnvironmentId, VmId } from '../../protocol/ids.js';
import { ApiError, badRequest, notFound } from '../http/api-error.js';
import type { Principal } from '../identity/principal.js';
import { TaskRelay } from '../tasks/task-relay.js';
import type { VmStatus } from '../virtual-machines/vm-status.js';
import type { AttachmentStatus } from './volume-attachment.entity.js';
import { renderAttachment, type AttachmentRow } from './volume-view.js';
import { MOST_VOLUMES } from './volume.requests.js';
import type { AttachVolumeFields } from './volume.responses.js';
import { VOLUME } from './volumes.service.js';

const ATTACHABLE: readonly VmStatus[] = ['ACTIVE', 'SHUTOFF'];
/** In ERROR too: what could not be attached or detached must not keep a VM there for ever. */
const DETACHABLE: readonly VmStatus[] = ['ACTIVE', 'SHUTOFF', 'ERROR'];

interface LockedVm {
  readonly id: VmId;
  readonly name: string;
  readonly status: VmStatus;
  readonly generation: number;
  readonly environment_id: EnvironmentId;
}

interface Place {
  readonly id: ComputeNodeId;
  readonly name: string;
}

interface WantedVolume {
  readonly id: number;
  readonly name: string;
  readonly size_gib: number;
  readonly environment_id: EnvironmentId;
  readonly environment: string;
  readonly compute_node_id: ComputeNodeId | null;
  readonly node: string | null;
  readonly removing: boolean;
  readonly attached_to: string | null;
}

interface LiveAttachment {
  readonly id: number;
  readonly volume_id: number;
  readonly volume: string;
  readonly protected: boolean;
  readonly status: AttachmentStatus;
}

/** Each SET reads the row as it was: a VM that is settled stays what it is meanwhile; one that switched itself off stays off. */
const UPDATE_VM = `
  WITH updated_vm AS (
    UPDATE virtual_machine vm
       SET generation = vm.generation + 1,
           operation = CASE WHEN vm.observed_generation >= vm.generation THEN 'update' ELSE vm.operation END,
           desired_power = CASE WHEN vm.observed_generation >= vm.generation AND vm.desired_power = 'running' AND vm.observed = 'stopped'
                                THEN 'stopped' ELSE vm.desired_power END,
           hardware = vm.hardware || jsonb_build_object('volumes', coalesce((
             SELECT jsonb_agg(jsonb_build_object('uuid', v.uuid, 'sizeGib', v.size_gib) ORDER BY a.id)
               FROM volume_attachment a JOIN volume v ON v.id = a.volume_id
              WHERE a.virtual_machine_id = vm.id AND a.status IN ('ATTACHING', 'ATTACHED')), '[]'))
     WHERE vm.id = $1 RETURNING vm.id, vm.generation
  ), superseded AS (
    UPDATE task t SET state = 'superseded', finished_at = now() WHERE t.virtual_machine_id = $1 AND t.state = 'pending'
  )
  INSERT INTO task (id, compute_node_id, virtual_machine_id, incarnation_id, generation)
  SELECT gen_random_uuid(), i.compute_node_id, vm.id, i.id, vm.generation
    FROM updated_vm vm JOIN incarnation i ON i.virtual_machine_id = vm.id AND i.ended_at IS NULL`;

const SELECT_ATTACHMENT = `
  SELECT a.id, a.volume_id, a.virtual_machine_id AS instance_id, v.uuid, a.protected, a.status, a.created_at
    FROM volume_attachment a JOIN volume v ON v.id = a.volume_id`;

@Injectable()
export class VolumeAttachments {
  constructor(
    private readonly dataSource: DataSource,
    private readonly relay: TaskRelay,
  ) {}

  async attach(principal: Principal, vmId: VmId, volumeIds: readonly number[], isProtected: boolean): Promise<AttachVolumeFields[]> {
    const attachments = await this.dataSource.transaction(async (transaction) => {
      const vm = await lockVm(transaction, principal, vmId, ATTACHABLE);
      const node = await placeOf(transaction, vm);
      const volumes = await lockVolumes(transaction, principal, volumeIds);
      await refuseUnattachable(transaction, vm, node, volumes);
      await bind(transaction, node, volumes);
      const rows = await transaction.query<{ id: number }[]>(
        `INSERT INTO volume_attachment (volume_id, virtual_machine_id, protected, status, generation)
         SELECT id, $1, $2, 'ATTACHING', $3 FROM unnest($4::int[]) AS id RETURNING id`,
        [vmId, isProtected, vm.generation + 1, volumeIds],
      );
      return this.write(transaction, principal, vm, rows, 'AttachVolumeToInstanceRequest', `Attach ${named(volumes)}.`);
    });
    this.relay.wake();
    return attachments;
  }

  async detach(principal: Principal, vmId: VmId, volumeIds: readonly number[]): Promise<AttachVolumeFields[]> {
    const attachments = await this.dataSource.transaction(async (transaction) => {
      const vm = await lockVm(transaction, principal, vmId, DETACHABLE);
      const volumes = await lockVolumes(transaction, principal, volumeIds);
      const live = await transaction.query<LiveAttachment[]>(
        `SELECT a.id, a.volume_id, v.name AS volume, a.protected, a.status
           FROM volume_attachment a JOIN volume v ON v.id = a.volume_id
          WHERE a.virtual_machine_id = $1 AND a.volume_id = ANY($2) AND a.status <> 'DETACHED'
          ORDER BY a.id FOR UPDATE OF a`,
        [vmId, volumeIds],
      );
      refuseUndetachable(vm, volumes, live);
      // What is being detached needs no second push.
      const wanted = live.filter(({ status }) => status !== 'DETACHING');
      await transaction.query(`UPDATE volume_attachment SET status = 'DETACHING', generation = $2 WHERE id = ANY($1)`, [
        wanted.map(({ id }) => id),
        vm.generation + 1,
      ]);
      if (wanted.length === 0 && vm.status !== 'ERROR') return readAttachments(transaction, live);
      return this.write(transaction, principal, vm, live, 'DetachVolumeFromInstanceRequest', `Detach ${named(volumes)}.`);
    });
    this.relay.wake();
    return attachments;
  }

  async protect(principal: Principal, id: number, isProtected: boolean): Promise<AttachVolumeFields> {
    return this.dataSource.transaction(async (transaction) => {
      const [, changed] = await transaction.query<[unknown, number]>(
        `UPDATE volume_attachment a SET protected = $3 FROM volume v
          WHERE a.id = $1 AND v.id = a.volume_id AND v.organization_id = $2 AND a.status <> 'DETACHED'`,
        [id, principal.organizationId, isProtected],
      );
      const [attachment] = changed === 0 ? [] : await readAttachments(transaction, [{ id }]);
      if (attachment === undefined) throw notFound('The volume attachment');
      return attachment;
    });
  }

  private async write(
    transaction: EntityManager,
    { organizationId, userId }: Principal,
    vm: LockedVm,
    attachments: readonly { id: number }[],
    reason: string,
    message: string,
  ): Promise<AttachVolumeFields[]> {
    await transaction.query(UPDATE_VM, [vm.id]);
    await transaction.query(
      `INSERT INTO event (organization_id, virtual_machine_id, user_id, reason, object, message) VALUES ($1, $2, $3, $4, $5, $6)`,
      [organizationId, vm.id, userId, reason, vm.name, message],
    );
    return readAttachments(transaction, attachments);
  }
}

const named = (volumes: readonly { name: string }[]): string =>
  `${volumes.length === 1 ? 'volume' : 'volumes'} ${volumes.map(({ name }) => `'${name}'`).join(', ')}`;

async function lockVm(transaction: EntityManager, principal: Principal, id: VmId, states: readonly VmStatus[]): Promise<LockedVm> {
  const [vm] = await transaction.query<LockedVm[]>(
    `SELECT id, name, status, generation, environment_id FROM virtual_machine
      WHERE id = $1 AND organization_id = $2 AND deleted_at IS NULL FOR UPDATE`,
    [id, principal.organizationId],
  );
  if (vm === undefined) throw notFound('The virtual machine');
  if (!states.includes(vm.status)) throw badRequest(`${vm.name} is ${vm.status}; this is possible when it is ${states.join(' or ')}.`);
  return vm;
}

async function placeOf(transaction: EntityManager, vm: LockedVm): Promise<Place> {
  const [node] = await transaction.query<Place[]>(
    `SELECT n.id, n.name FROM incarnation i JOIN compute_node n ON n.id = i.compute_node_id
      WHERE i.virtual_machine_id = $1 AND i.ended_at IS NULL`,
    [vm.id],
  );
  if (node === undefined) throw badRequest(`${vm.name} has no place on a node. Delete it and create it anew.`);
  return node;
}

async function lockVolumes(transaction: EntityManager, principal: Principal, ids: readonly number[]): Promise<WantedVolume[]> {
  const parameters = [ids, principal.organizationId];
  const locked = await transaction.query<unknown[]>(
    'SELECT 1 FROM volume WHERE id = ANY($1) AND organization_id = $2 AND deleted_at IS NULL ORDER BY id FOR UPDATE',
    parameters,
  );
  if (locked.length < ids.length) throw notFound(ids.length === 1 ? VOLUME : 'One of the volumes');
  // A statement of its own, after the locks were waited for: it sees what the one before us did.
  return transaction.query<WantedVolume[]>(
    `SELECT v.id, v.name, v.size_gib, v.environment_id, e.name AS environment, v.compute_node_id, n.name AS node,
            v.removal_requested_at IS NOT NULL AS removing, vm.name AS attached_to
       FROM volume v
       JOIN environment e ON e.id = v.environment_id
       LEFT JOIN compute_node n ON n.id = v.compute_node_id
       LEFT JOIN volume_attachment a ON a.volume_id = v.id AND a.status <> 'DETACHED'
       LEFT JOIN virtual_machine vm ON vm.id = a.virtual_machine_id
      WHERE v.id = ANY($1) AND v.organization_id = $2 ORDER BY v.id`,
    parameters,
  );
}

async function refuseUnattachable(
  transaction: EntityManager,
  vm: LockedVm,
  node: Place,
  volumes: readonly WantedVolume[],
): Promise<void> {
  for (const volume of volumes) {
    if (volume.removing) throw badRequest(`The volume '${volume.name}' is being deleted.`);
    if (volume.attached_to !== null)
      throw badRequest(`There are already attached Volumes: '${volume.name}' is with ${volume.attached_to}. Detach it first.`);
    if (volume.environment_id !== vm.environment_id)
      throw badRequest(`The volume '${volume.name}' is in the environment '${volume.environment}'; move it to that of ${vm.name} first.`);
    if (volume.compute_node_id !== null && volume.compute_node_id !== node.id)
      throw badRequest(
        `The volume '${volume.name}' is on the node ${volume.node}, where it was first attached, and ${vm.name} runs on ` +
          `${node.name}: a volume can only be attached to virtual machines on its own node.`,
      );
  }
  const [{ count }] = await transaction.query<[{ count: number }]>(
    `SELECT count(*)::int AS count FROM volume_attachment WHERE virtual_machine_id = $1 AND status <> 'DETACHED'`,
    [vm.id],
  );
  if (count + volumes.length > MOST_VOLUMES)
    throw badRequest(`${vm.name} has ${count} volumes already; at most ${MOST_VOLUMES} can be attached to a virtual machine.`);
}

/** Volumes that have no place yet get theirs here, if the node's disk has the room. */
async function bind(transaction: EntityManager, node: Place, volumes: readonly WantedVolume[]): Promise<void> {
  const homeless = volumes.filter(({ compute_node_id }) => compute_node_id === null);
  if (homeless.length === 0) return;
  const size = homeless.reduce((sum, { size_gib }) => sum + size_gib, 0);
  const [, claimed] = await transaction.query<[unknown, number]>(
    `UPDATE compute_node SET disk_gib_used = disk_gib_used + $2::int
      WHERE id = $1 AND disk_gib_used + $2::bigint <= disk_gib_total`,
    [node.id, size],
  );
  if (claimed === 0)
    throw new ApiError(
      409,
      `The node ${node.name}, on which the virtual machine is, has no room for another ${size} GiB. ` +
        'Delete what is not needed there, or attach to a virtual machine on another node.',
      'no_capacity',
    );
  await transaction.query('UPDATE volume SET compute_node_id = $2, updated_at = now() WHERE id = ANY($1)', [
    homeless.map(({ id }) => id),
    node.id,
  ]);
}

function refuseUndetachable(vm: LockedVm, volumes: readonly WantedVolume[], live: readonly LiveAttachment[]): void {
  const missing = volumes.find(({ id }) => !live.some((attachment) => attachment.volume_id === id));
  if (missing !== undefined) throw badRequest(`The volume '${missing.name}' is not attached to ${vm.name}.`);
  const guarded = live.find((attachment) => attachment.protected);
  if (guarded !== undefined)
    throw badRequest(
      `The attachment of the volume '${guarded.volume}' is protected. ` +
        `Send PATCH /v1/core/volume-attachments/${guarded.id} with protected: false first.`,
    );
}

async function readAttachments(transaction: EntityManager, attachments: readonly { id: number }[]): Promise<AttachVolumeFields[]> {
  const rows = await transaction.query<AttachmentRow[]>(`${SELECT_ATTACHMENT} WHERE a.id = ANY($1) ORDER BY a.id`, [
    attachments.map(({ id }) => id),
  ]);
  return rows.map(renderAttachment);
}
