/**
 * Attaches volumes to a VM and detaches them: by writing what is wanted. What comes of it is reported by the worker and
 * taken in by `attachment-reports.ts`.
 *
 * Owns the claim of a volume on the node of its first VM. Races: locks go from the VM to the volumes in the order of ids to the node, so that two requests for
 * one volume or for the last room on a node come one after the other; the unique index and the CHECK of the node are the
 * last guards.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { change, writeAudit } from '../audit/change.js';
import type { ComputeNodeId, EnvironmentId, VmId } from '../../protocol/ids.js';
import { CallbackDeliverer } from '../callbacks/callback-deliverer.js';
import { ApiError, badRequest, notFound } from '../http/api-error.js';
import type { Principal } from '../identity/principal.js';
import { TaskRelay } from '../tasks/task-relay.js';
import type { VmStatus } from '../virtual-machines/vm-status.js';
import { beingSnapshotted, lockVms, type LockedVm, type VmSelector } from '../virtual-machines/vm-wishes.js';
import { LabelActionResponse, type AffectedInstance } from '../virtual-machines/vm.responses.js';
import { renewVmVolumes } from './vm-volumes-update.js';
import type { AttachmentStatus } from './volume-attachment.entity.js';
import { VOLUME } from './volume-lock.js';
import { claimDisk, noRoom } from './volume-place.js';
import { tellOfVolumes } from './volume-status-changes.js';
import { deriveVolumeStatus, renderAttachment, STAGE, type AttachmentRow, type VolumeStage } from './volume-view.js';
import { MOST_VOLUMES } from './volume.requests.js';
import type { AttachVolumeFields } from './volume.responses.js';

const ATTACHABLE: readonly VmStatus[] = ['ACTIVE', 'SHUTOFF'];
/** In ERROR too: what could not be attached or detached must not keep a VM there for ever. */
const DETACHABLE: readonly VmStatus[] = ['ACTIVE', 'SHUTOFF', 'ERROR'];

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
  readonly stage: VolumeStage;
  readonly attached_to: string | null;
}

interface LiveAttachment {
  readonly id: number;
  readonly volume_id: number;
  readonly volume: string;
  readonly protected: boolean;
  readonly root: boolean;
  readonly status: AttachmentStatus;
}

const SELECT_ATTACHMENT = `
  SELECT a.id, a.volume_id, a.virtual_machine_id AS instance_id, v.uuid, a.protected, a.status, a.created_at
    FROM volume_attachment a JOIN volume v ON v.id = a.volume_id`;

@Injectable()
export class VolumeAttachments {
  constructor(
    private readonly dataSource: DataSource,
    private readonly relay: TaskRelay,
    private readonly deliverer: CallbackDeliverer,
  ) {}

  async attach(principal: Principal, selector: VmSelector, volumeIds: readonly number[], isProtected: boolean): Promise<AttachVolumeFields[]> {
    const { attachments, told } = await change(this.dataSource, principal, async (transaction, concerns) => {
      const vm = await lockVm(transaction, principal, selector, ATTACHABLE);
      concerns(vm.id);
      const node = await placeOf(transaction, vm);
      const volumes = await lockVolumes(transaction, principal, volumeIds);
      await refuseUnattachable(transaction, vm, node, volumes);
      await bind(transaction, node, volumes);
      const rows = await transaction.query<{ id: number }[]>(
        `INSERT INTO volume_attachment (volume_id, virtual_machine_id, protected, status, generation)
         SELECT id, $1, $2, 'ATTACHING', $3 FROM unnest($4::int[]) AS id RETURNING id`,
        [vm.id, isProtected, vm.generation + 1, volumeIds],
      );
      return {
        attachments: await write(transaction, principal, vm, rows, 'AttachVolumeToInstanceRequest', `Attach ${named(volumes)}.`),
        told: await tellOfVolumes(transaction, 'attach', volumeIds),
      };
    });
    this.committed(told);
    return attachments;
  }

  async detach(principal: Principal, selector: VmSelector, volumeIds: readonly number[]): Promise<AttachVolumeFields[]> {
    const { attachments, told } = await change(this.dataSource, principal, async (transaction, concerns) => {
      const vm = await lockVm(transaction, principal, selector, DETACHABLE);
      concerns(vm.id);
      return detachFrom(transaction, principal, vm, volumeIds);
    });
    this.committed(told);
    return attachments;
  }

  /**
   * From every VM with the label those of the volumes that it has. VMs that have none of them are told so, and those
   * that must keep one do not keep the others.
   */
  async detachLabelled(principal: Principal, environment: string, label: string, volumeIds: readonly number[]): Promise<LabelActionResponse> {
    const { outcomes, told } = await this.dataSource.transaction(async (transaction) => {
      const vms = await lockVms(transaction, principal, { environment, label });
      if (vms.length === 0) await requireEnvironment(transaction, principal, environment);
      const held = await transaction.query<{ vm_id: VmId; volume_id: number }[]>(
        `SELECT a.virtual_machine_id AS vm_id, a.volume_id FROM volume_attachment a JOIN volume v ON v.id = a.volume_id
          WHERE a.virtual_machine_id = ANY($1) AND a.volume_id = ANY($2) AND a.status <> 'DETACHED' AND v.organization_id = $3`,
        [vms.map(({ id }) => id), volumeIds, principal.organizationId],
      );
      const outcomes: AffectedInstance[] = [];
      let told = false;
      for (const vm of vms) {
        const mine = held.filter(({ vm_id }) => vm_id === vm.id).map(({ volume_id }) => volume_id);
        const refusal = await refusalIn(async () => {
          requireStatus(vm, DETACHABLE);
          if (mine.length === 0) throw badRequest(`${vm.name} has none of these volumes.`);
          told = (await transaction.transaction((savepoint) => detachFrom(savepoint, principal, vm, mine))).told || told;
        });
        outcomes.push({ id: vm.id, name: vm.name, accepted: refusal === undefined, message: refusal?.message ?? '' });
      }
      const accepted = outcomes.filter((outcome) => outcome.accepted).map(({ id }) => id);
      if (accepted.length > 0) await writeAudit(transaction, principal, accepted);
      return { outcomes, told };
    });
    this.committed(told);
    const accepted = outcomes.filter((outcome) => outcome.accepted).length;
    const response = new LabelActionResponse(
      outcomes.length === 0
        ? `No virtual machine in ${environment} carries the label ${label}; nothing was done`
        : `detach-volumes: ${accepted} of ${outcomes.length} virtual machines with the label ${label}`,
    );
    response.instances = outcomes;
    return response;
  }

  async protect(principal: Principal, id: number, isProtected: boolean): Promise<AttachVolumeFields> {
    return change(this.dataSource, principal, async (transaction) => {
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

  private committed(told: boolean): void {
    this.relay.wake();
    if (told) this.deliverer.wake();
  }
}

interface Detached {
  readonly attachments: AttachVolumeFields[];
  readonly told: boolean;
}

async function detachFrom(transaction: EntityManager, principal: Principal, vm: LockedVm, volumeIds: readonly number[]): Promise<Detached> {
  const volumes = await lockVolumes(transaction, principal, volumeIds);
  const live = await transaction.query<LiveAttachment[]>(
    `SELECT a.id, a.volume_id, v.name AS volume, a.protected, a.root, a.status
       FROM volume_attachment a JOIN volume v ON v.id = a.volume_id
      WHERE a.virtual_machine_id = $1 AND a.volume_id = ANY($2) AND a.status <> 'DETACHED'
      ORDER BY a.id FOR UPDATE OF a`,
    [vm.id, volumeIds],
  );
  refuseUndetachable(vm, volumes, live);
  // What is being detached needs no second push.
  const wanted = live.filter(({ status }) => status !== 'DETACHING');
  await transaction.query(`UPDATE volume_attachment SET status = 'DETACHING', generation = $2 WHERE id = ANY($1)`, [
    wanted.map(({ id }) => id),
    vm.generation + 1,
  ]);
  if (wanted.length === 0 && vm.status !== 'ERROR') return { attachments: await readAttachments(transaction, live), told: false };
  return {
    attachments: await write(transaction, principal, vm, live, 'DetachVolumeFromInstanceRequest', `Detach ${named(volumes)}.`),
    told: await tellOfVolumes(transaction, 'detach', wanted.map(({ volume_id }) => volume_id)),
  };
}

async function write(
  transaction: EntityManager,
  { organizationId, userId }: Principal,
  vm: LockedVm,
  attachments: readonly { id: number }[],
  reason: string,
  message: string,
): Promise<AttachVolumeFields[]> {
  await renewVmVolumes(transaction, vm.id);
  await transaction.query(
    `INSERT INTO event (organization_id, virtual_machine_id, user_id, reason, object, message) VALUES ($1, $2, $3, $4, $5, $6)`,
    [organizationId, vm.id, userId, reason, vm.name, message],
  );
  return readAttachments(transaction, attachments);
}

/** @returns what refuses it; undefined when it is done. */
async function refusalIn(change: () => Promise<void>): Promise<ApiError | undefined> {
  try {
    await change();
    return undefined;
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
}

async function requireEnvironment(transaction: EntityManager, { organizationId }: Principal, name: string): Promise<void> {
  const found = await transaction.query<unknown[]>(
    'SELECT 1 FROM environment WHERE organization_id = $1 AND name = $2 AND deleted_at IS NULL',
    [organizationId, name],
  );
  if (found.length === 0) throw notFound(`The environment ${JSON.stringify(name.slice(0, 60))}`);
}

const named = (volumes: readonly { name: string }[]): string =>
  `${volumes.length === 1 ? 'volume' : 'volumes'} ${volumes.map(({ name }) => `'${name}'`).join(', ')}`;

/** @throws ApiError 404; 400 in another state, and where a label means several. */
async function lockVm(transaction: EntityManager, principal: Principal, selector: VmSelector, states: readonly VmStatus[]): Promise<LockedVm> {
  const [vm, second] = await lockVms(transaction, principal, selector);
  if (vm === undefined) throw notFound('The virtual machine');
  if (second !== undefined)
    throw badRequest(`${vm.name} and ${second.name} carry this label, and a volume can be with one virtual machine only. Name the one.`);
  if (vm.hardware.snapshot !== undefined) throw beingSnapshotted(vm.name);
  requireStatus(vm, states);
  return vm;
}

function requireStatus(vm: LockedVm, states: readonly VmStatus[]): void {
  if (!states.includes(vm.status)) throw badRequest(`${vm.name} is ${vm.status}; this is possible when it is ${states.join(' or ')}.`);
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
            ${STAGE} AS stage, vm.name AS attached_to
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
    if (volume.stage !== 'ready' && volume.attached_to === null)
      throw badRequest(`The volume '${volume.name}' is ${deriveVolumeStatus(volume.stage, null)}; it can be attached when it is available.`);
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
  if (!(await claimDisk(transaction, node.id, size)))
    throw noRoom(`${node.name}, on which the virtual machine is,`, size, 'attach to a virtual machine on another node');
  await transaction.query('UPDATE volume SET compute_node_id = $2, updated_at = now() WHERE id = ANY($1)', [
    homeless.map(({ id }) => id),
    node.id,
  ]);
}

function refuseUndetachable(vm: LockedVm, volumes: readonly WantedVolume[], live: readonly LiveAttachment[]): void {
  const missing = volumes.find(({ id }) => !live.some((attachment) => attachment.volume_id === id));
  if (missing !== undefined) throw badRequest(`The volume '${missing.name}' is not attached to ${vm.name}.`);
  const root = live.find((attachment) => attachment.root);
  if (root !== undefined) throw badRequest(`${vm.name} boots from the volume '${root.volume}', which is detached when the virtual machine is deleted.`);
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
