/**
 * Creates virtual machines: names resolved → nodes chosen → everything inserted at once → the relay woken.
 *
 * What it must never do: answer before the transaction is committed, or leave some of `count` VMs behind. Conductors
 * race for the same capacity, names and addresses; these races are decided by the database in `insertVms`, and the loser
 * looks again with a fresh picture of the fleet.
 */
import { Injectable } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { DataSource, type EntityManager } from 'typeorm';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import type { ComputeNodeId, TaskId, VmUuid } from '../../protocol/ids.js';
import { DEFAULT_RULES, type SecurityRuleSpec } from '../../protocol/security-rule.js';
import type { VmHardware } from '../../protocol/task.js';
import { auditRow } from '../audit/change.js';
import { CallbackDeliverer } from '../callbacks/callback-deliverer.js';
import { DEADLOCK, REFERENCE_GONE, sqlState, violatedUnique } from '../database/database-error.js';
import { EgressPolicy } from '../egress/egress-policy.js';
import { FleetView } from '../fleet/fleet-view.js';
import { ApiError, alreadyExists, badRequest } from '../http/api-error.js';
import { Idempotency, type IdempotentRequest } from '../idempotency/idempotency.js';
import type { Principal } from '../identity/principal.js';
import { FIXED_IP_TAKEN, networkSpec } from '../networks/fixed-addresses.js';
import { profileData } from '../profiles/profile-data.js';
import { PROFILE_NAME_TAKEN, profileExists } from '../profiles/profiles.service.js';
import { quotaRefusal } from '../quotas/quota-refusal.js';
import { QuotasService } from '../quotas/quotas.service.js';
import { explainInWords } from '../scheduling/explain-in-words.js';
import { place, type PlacementExplanation } from '../scheduling/placement.js';
import type { PlacementRequest } from '../scheduling/placement-request.js';
import { checkedRule } from '../security-rules/checked-rule.js';
import { TaskRelay } from '../tasks/task-relay.js';
import { tellOfVolumes } from '../volumes/volume-status-changes.js';
import { customFlavorId } from './custom-flavors.js';
import { type CreateInstancesPayload } from './vm.requests.js';
import { CreateInstancesResponse, type InstanceFields } from './vm.responses.js';
import { callbackBody } from './vm-callback.js';
import { insertRootVolumes, rootOf, rootVolumes, shownRootVolume, type RootVolume } from './vm-root-volumes.js';
import { CLAIM_LOST, insertVms, type Claim, type NewVm, type VmInsertion } from './vm-insertion.js';
import { VmInsertionQueue } from './vm-insertion-queue.js';
import { VmRequests, type ResolvedRequest } from './vm-request.js';
import { renderVm } from './vm-view.js';
import { crashPoint } from '../../crash-points.js';

/** How often a lost race for capacity or for an assigned name is run again. */
const ATTEMPTS = 8;

interface FloatingIpRow {
  readonly id: number;
  readonly address: string;
}

interface Placed {
  readonly nodes: readonly ComputeNodeId[];
  readonly explanation: PlacementExplanation;
}

@Injectable()
export class VmCreation {
  constructor(
    private readonly dataSource: DataSource,
    private readonly requests: VmRequests,
    private readonly insertions: VmInsertionQueue,
    private readonly fleet: FleetView,
    private readonly quotas: QuotasService,
    private readonly idempotency: Idempotency,
    private readonly egress: EgressPolicy,
    private readonly relay: TaskRelay,
    private readonly deliverer: CallbackDeliverer,
    @InjectConfig() private readonly config: Config,
  ) {}

  async create(
    principal: Principal,
    payload: CreateInstancesPayload,
    idempotent?: IdempotentRequest,
  ): Promise<CreateInstancesResponse> {
    if (payload.callback_url !== undefined) this.egress.checkUrl(payload.callback_url);
    return await this.createResolved(principal, payload, () => this.requests.resolve(principal.organizationId, payload), idempotent);
  }

  /** @param resolve run anew at each attempt: what was there a moment ago may be gone. */
  async createResolved(
    principal: Principal,
    payload: CreateInstancesPayload,
    resolve: () => Promise<ResolvedRequest>,
    idempotent?: IdempotentRequest,
  ): Promise<CreateInstancesResponse> {
    const remembered = async (): Promise<CreateInstancesResponse | undefined> =>
      idempotent && (await this.idempotency.firstAnswer<CreateInstancesResponse>(principal.organizationId, idempotent));
    const first = await remembered();
    if (first !== undefined) return first;
    for (let attempt = 1; ; attempt++) {
      try {
        const resolved = await resolve();
        const placed = await this.place(resolved, attempt > 1);
        return await this.insert(principal, payload, resolved, placed, idempotent);
      } catch (error) {
        // What took the key, the name or the last slot may be this very request, arrived twice at once.
        const twin = await remembered();
        if (twin !== undefined) return twin;
        this.judge(error, payload, attempt);
      }
    }
  }

  /** Where the VMs would go, in words; nothing is claimed. @throws ApiError 409 or 403 when there is no room or quota. */
  async explain(principal: Principal, payload: CreateInstancesPayload): Promise<string> {
    const resolved = await this.requests.resolve(principal.organizationId, payload);
    const { explanation } = await this.place(resolved, true);
    const { environment, flavor, names } = resolved;
    const root = rootOf(payload, resolved);
    await this.quotas.requireRoom(principal.organizationId, environment, {
      vms: names.length,
      vcpus: names.length * flavor.cpu,
      memory_mib: names.length * flavor.ram_mib,
      disk_gib: root === 'own disk' ? names.length * flavor.disk : 0,
      gpus: names.length * flavor.gpu_count,
      volumes: root === 'new volume' ? names.length : 0,
      volume_gib: root === 'new volume' ? names.length * flavor.disk : 0,
      floating_ips: payload.assign_floating_ip === true ? names.length : 0,
    });
    return explainInWords(explanation);
  }

  private async place(resolved: ResolvedRequest, lookAgain: boolean): Promise<Placed> {
    if (lookAgain) await this.fleet.refresh();
    const request = placementRequest(resolved);
    const options = { policy: this.config.placementPolicy, random: Math.random };
    const nodes = await this.fleet.nodes();
    const { bootVolume } = resolved;
    // Its disk is on one node and cannot follow.
    const result = place(bootVolume === null ? nodes : nodes.filter(({ id }) => id === bootVolume.compute_node_id), request, options);
    if ('placed' in result) return { nodes: result.placed, explanation: result.explanation };
    // Before refusing, make sure that it was not the picture that was old.
    if (!lookAgain) return this.place(resolved, true);
    const where = bootVolume === null ? '' : `The volume '${bootVolume.name}' is on one node, and the VM must run there. `;
    throw new ApiError(409, `${where}${explainInWords(result.refused)}`, 'no_capacity');
  }

  private async insert(
    principal: Principal,
    payload: CreateInstancesPayload,
    resolved: ResolvedRequest,
    placed: Placed,
    idempotent: IdempotentRequest | undefined,
  ): Promise<CreateInstancesResponse> {
    const root = rootOf(payload, resolved);
    if (hasFlavor(resolved) && payload.assign_floating_ip !== true && root === 'own disk') {
      const { insertion, response } = assemble(principal, payload, resolved, placed, [], [], idempotent);
      await this.insertions.insert(insertion);
      this.committed(insertion);
      return response;
    }
    const { insertion, response, told } = await this.dataSource.transaction(async (transaction) => {
      const complete = await withFlavor(transaction, resolved);
      const roots = await rootVolumes(transaction, principal.organizationId, resolved, root);
      const addresses = payload.assign_floating_ip === true ? await freeAddresses(transaction, resolved) : [];
      const assembled = assemble(principal, payload, complete, placed, addresses, roots, idempotent);
      await insertVms(transaction, [assembled.insertion]);
      await insertRootVolumes(transaction, principal, resolved, assembled.insertion, roots);
      return { ...assembled, told: await tellOfVolumes(transaction, 'attach', roots.map(({ volume }) => volume.id)) };
    });
    if (told) this.deliverer.wake();
    this.committed(insertion);
    return response;
  }

  private committed(insertion: VmInsertion): void {
    crashPoint('create:committed');
    this.relay.wake();
    if (insertion.callbackUrl !== null) this.deliverer.wake();
    const { vcpus, memory_mib, disk_gib } = insertion.claim;
    const diskGib = disk_gib + insertion.volumeGib;
    for (const { node } of insertion.vms) this.fleet.noteClaim(node, { vcpus, memoryMib: memory_mib, diskGib });
  }

  /** Returns where trying again is right, throws what the client shall see otherwise. */
  private judge(error: unknown, payload: CreateInstancesPayload, attempt: number): void {
    const again = attempt < ATTEMPTS;
    switch (violatedUnique(error)) {
      // Its owner was forgotten between the two looks.
      case 'pk_idempotency_key':
        if (again) return;
        break;
      case 'uq_virtual_machine_name':
        if (payload.name !== undefined)
          throw alreadyExists(
            `A virtual machine named ${payload.name}${(payload.count ?? 1) > 1 ? '-…' : ''} exists in environment ${payload.environment_name}. Choose another name, or leave it out to have one assigned.`,
          );
        if (again) return;
        break;
      case FIXED_IP_TAKEN:
        if (again) return;
        throw busy();
      case 'uq_volume_name':
        throw alreadyExists('There is already a volume with the name that the root disk would get. Create the VM under another name.');
      case 'uq_volume_attachment_live':
        throw badRequest(`The volume '${payload.volume_name}' is with another virtual machine already.`);
      case PROFILE_NAME_TAKEN:
        throw profileExists(payload.profile?.name ?? '');
      case undefined:
        break;
    }
    const state = sqlState(error);
    if (again && (state === CLAIM_LOST || state === DEADLOCK || state === REFERENCE_GONE)) return;
    if (state === CLAIM_LOST) throw busy();
    throw quotaRefusal(error) ?? error;
  }
}

const busy = (): ApiError => new ApiError(503, 'Many VMs are being created at this moment. Try again shortly.', undefined, 1);

type CompleteRequest = ResolvedRequest & { readonly flavor: { readonly id: number } };

const hasFlavor = (resolved: ResolvedRequest): resolved is CompleteRequest => resolved.flavor.id !== null;

/** Before anything else is locked: whoever makes the same flavor at the same time is waited for. */
async function withFlavor(transaction: EntityManager, resolved: ResolvedRequest): Promise<CompleteRequest> {
  if (hasFlavor(resolved)) return resolved;
  const { environment, flavor } = resolved;
  return { ...resolved, flavor: { ...flavor, id: await customFlavorId(transaction, environment.region_id, flavor) } };
}

/** @throws ApiError 409 when the pool of the region has not so many. */
async function freeAddresses(transaction: EntityManager, { environment, names }: ResolvedRequest): Promise<FloatingIpRow[]> {
  const addresses = await transaction.query<FloatingIpRow[]>(
    `SELECT id, address FROM floating_ip WHERE region_id = $1 AND virtual_machine_id IS NULL
      ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED`,
    [environment.region_id, names.length],
  );
  if (addresses.length < names.length)
    throw new ApiError(
      409,
      `Region ${environment.region} has ${addresses.length} of ${names.length} floating IPs free. Release some, or create the VMs without assign_floating_ip.`,
      'no_capacity',
    );
  return addresses;
}

function placementRequest({ environment, flavor, image, names, bootVolume }: ResolvedRequest): PlacementRequest {
  return {
    regionId: environment.region_id,
    regionName: environment.region,
    vcpus: flavor.cpu,
    memoryMib: flavor.ram_mib,
    // A volume that is there has its room already.
    diskGib: bootVolume === null ? flavor.disk : 0,
    gpu: flavor.gpu_count > 0 ? { model: flavor.gpu, count: flavor.gpu_count } : undefined,
    count: names.length,
    home: image.snapshot?.node,
  };
}

/** Those that every VM has and those that were asked for, each once. @throws ApiError 400 for one that contradicts itself. */
function rulesOf({ security_rules = [] }: CreateInstancesPayload): SecurityRuleSpec[] {
  const rules = [...DEFAULT_RULES, ...security_rules.map(checkedRule)];
  return rules.filter((rule, index) => rules.findIndex((other) => isDeepStrictEqual(other, rule)) === index);
}

/** Everything there is to insert, and the answer: pure, so that nothing is decided inside the transaction. */
function assemble(
  principal: Principal,
  payload: CreateInstancesPayload,
  resolved: CompleteRequest,
  placed: Placed,
  addresses: readonly FloatingIpRow[],
  roots: readonly RootVolume[],
  idempotent: IdempotentRequest | undefined,
): { insertion: VmInsertion; response: CreateInstancesResponse } {
  const { environment, flavor, image, keys, names } = resolved;
  const root = rootOf(payload, resolved);
  const createdAt = new Date();
  const labels = payload.labels ?? [];
  const rules = rulesOf(payload);
  const callbackUrl = payload.callback_url ?? null;
  const claim: Claim = {
    vcpus: flavor.cpu,
    memory_mib: flavor.ram_mib,
    // What a volume takes is the volume's.
    disk_gib: roots.length > 0 ? 0 : flavor.disk,
    gpu_model: flavor.gpu_count > 0 ? flavor.gpu : null,
    gpu_count: flavor.gpu_count,
  };

  const instances: InstanceFields[] = [];
  const vms = names.map((name, index): NewVm => {
    const uuid = randomUUID() as VmUuid;
    const address = addresses[index];
    const rootVolume = roots[index];
    const instance = renderVm({
      id: resolved.vmIds[index]!,
      uuid,
      organization_id: principal.organizationId,
      name,
      status: 'CREATING',
      observed: 'nothing',
      placed: true,
      node_down: false,
      fault: null,
      fixed_ip: null,
      floating_ip: address?.address ?? null,
      floating_ip_change: null,
      security_rules: [],
      callback_url: callbackUrl,
      port_randomization: payload.enable_port_randomization ?? true,
      created_at: createdAt,
      reachable_at: null,
      environment,
      flavor,
      image_name: image.name,
      key_names: keys.map((key) => key.name),
      is_snapshotting: false,
      volume_attachments: rootVolume === undefined ? [] : [shownRootVolume(rootVolume, createdAt)],
      labels,
    });
    instances.push(instance);
    const hardware: VmHardware = {
      vcpus: flavor.cpu,
      memoryMib: flavor.ram_mib,
      diskGib: claim.disk_gib,
      gpu: flavor.gpu_count > 0 ? { model: flavor.gpu, count: flavor.gpu_count } : undefined,
      image: { name: image.name, ...image.files },
      network: networkSpec(environment.subnet, resolved.addresses[index]!),
      rootVolume: rootVolume && { uuid: rootVolume.volume.uuid, sizeGib: rootVolume.volume.size },
      floatingIp: address?.address,
      rules,
      ...(flavor.auto_recover && rootVolume === undefined && { autoRecover: true }),
    };
    return {
      id: resolved.vmIds[index]!,
      uuid,
      name,
      incarnationId: resolved.incarnationIds[index]!,
      node: placed.nodes[index]!,
      taskId: randomUUID() as TaskId,
      hardware,
      floatingIpId: address?.id ?? null,
      callbackBody: callbackUrl === null ? null : callbackBody(instance),
    };
  });

  const response = new CreateInstancesResponse(names.length === 1 ? 'Creating VM' : `Creating ${names.length} VMs`);
  response.instances = instances;
  return {
    response,
    insertion: {
      organizationId: principal.organizationId,
      environmentId: environment.id,
      userId: principal.userId,
      flavorId: flavor.id,
      imageId: image.id,
      snapshot: image.snapshot,
      userData: payload.user_data ?? null,
      callbackUrl,
      portRandomization: payload.enable_port_randomization ?? true,
      createdAt,
      claim,
      volumeGib: root === 'new volume' ? flavor.disk : 0,
      placement: placed.explanation,
      vms,
      keys,
      labels,
      rules,
      profile: keptProfile(payload),
      audit: auditRow(principal, resolved.vmIds, 'virtual-machine'),
      idempotency: idempotent === undefined ? null : { ...idempotent, response },
    },
  };
}

function keptProfile(payload: CreateInstancesPayload): VmInsertion['profile'] {
  if (!payload.profile) return null;
  const { name, description } = payload.profile;
  return { name, description: description ?? '', data: profileData(payload) };
}
