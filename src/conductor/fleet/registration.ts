/**
 * How a node joins the fleet, and comes back to it. Owns the rows of compute nodes but for their `…_used` columns,
 * which are placement's.
 *
 * Each registration raises the node's session: what an older process of the same name still sends is refused, so a
 * name never has two workers. Whatever the node had been given and not reported on is published again at once, which
 * is harmless where the message is still in its queue.
 */
import { Inject, Injectable, Logger } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { InjectConfig } from '../../config/config.module.js';
import type { Config } from '../../config/settings.js';
import type { TaskPublisher } from '../../messaging/task-bus.js';
import type { ComputeNodeId } from '../../protocol/ids.js';
import { PROTOCOL_VERSION, SERVED_PROTOCOLS } from '../../protocol/task.js';
import type { IncarnationRef, RegisterAnswer, RegisterRequest } from '../../protocol/node.js';
import { ApiError } from '../http/api-error.js';
import { hashSecret, newSecret } from '../identity/secrets.js';
import { TASK_PUBLISHER } from '../tasks/task-publisher.token.js';
import { TaskRelay } from '../tasks/task-relay.js';
import { redeemJoinToken } from './join-tokens.js';

type Query = Pick<DataSource, 'query'>;

interface Returned {
  readonly session: number;
  /** What is to be removed there before it gets work. */
  readonly ended: IncarnationRef[];
}

/** @throws ApiError 400: such a worker would be sent tasks that it cannot read. */
function requireProtocol({ name, protocolVersion }: RegisterRequest): void {
  if (SERVED_PROTOCOLS.includes(protocolVersion)) return;
  const older = protocolVersion < PROTOCOL_VERSION;
  throw new ApiError(
    400,
    `Node ${name} speaks version ${protocolVersion} of the protocol, and the conductor ${SERVED_PROTOCOLS.join(' and ')}. Update Baton ${older ? 'on that node' : 'on the conductors first'}.`,
  );
}

@Injectable()
export class Registration {
  private readonly logger = new Logger(Registration.name);

  constructor(
    private readonly dataSource: DataSource,
    private readonly relay: TaskRelay,
    @Inject(TASK_PUBLISHER) private readonly publisher: TaskPublisher,
    @InjectConfig() private readonly config: Config,
  ) {}

  /** @param secret a join token the first time, the node's own key ever after. */
  async register(request: RegisterRequest, secret: string): Promise<RegisterAnswer> {
    const { session, nodeKey, ended } = await this.dataSource.transaction(async (transaction) => {
      const known = await this.nodeByKey(transaction, secret);
      // Before anything else is said: who has no key and no token learns nothing, not even the names of regions.
      if (known === undefined) await this.admit(transaction, secret);
      requireProtocol(request);
      const regionId = await this.regionId(transaction, request);
      if (known !== undefined) {
        if (known.name !== request.name)
          throw new ApiError(409, `This key belongs to node ${known.name}. Give node ${request.name} a state folder of its own.`);
        return { ...(await this.update(transaction, known.id, regionId, request)), nodeKey: undefined };
      }
      return this.join(transaction, regionId, request);
    });
    await this.declareQueue(request.name);
    this.relay.wake();
    this.logger.log(`Node ${request.name} registered (${request.hypervisor}, ${request.acceleration}), session ${session}`);
    return {
      nodeKey,
      session,
      queue: request.name,
      heartbeatSeconds: this.config.heartbeatSeconds,
      leaseSeconds: this.config.nodeLeaseSeconds,
      ...(request.fencing === true && { fenceSeconds: this.config.fenceSeconds, ended }),
      metricsSeconds: this.config.metricsSeconds,
    };
  }

  private async regionId(query: Query, request: RegisterRequest): Promise<number> {
    const [region] = await query.query<{ id: number }[]>('SELECT id FROM region WHERE name = $1', [request.region]);
    if (region === undefined)
      throw new ApiError(400, `There is no region ${request.region}. Create it first, or start the worker with --region.`);
    return region.id;
  }

  private async nodeByKey(query: Query, secret: string): Promise<{ id: ComputeNodeId; name: string } | undefined> {
    const [node] = await query.query<{ id: ComputeNodeId; name: string }[]>(
      'SELECT id, name FROM compute_node WHERE key_hash = $1 FOR UPDATE',
      [hashSecret(secret)],
    );
    return node;
  }

  private async admit(query: Query, token: string): Promise<void> {
    const { joinToken } = this.config;
    const fleetToken = joinToken !== undefined && hashSecret(joinToken).equals(hashSecret(token));
    if (!fleetToken && !(await redeemJoinToken(query, token)))
      throw new ApiError(401, 'The join token is unknown, expired or used up. Make one with `admin join-token`.');
  }

  /** A new node; or one that lost its key and is not alive, so that nobody takes the name of a working node. */
  private async join(query: Query, regionId: number, request: RegisterRequest) {
    const nodeKey = newSecret('node');
    const [existing] = await query.query<{ id: ComputeNodeId; alive: boolean }[]>(
      `SELECT n.id, coalesce(h.beat_at > now() - make_interval(secs => $2), false) AS alive
         FROM compute_node n LEFT JOIN compute_node_heartbeat h ON h.compute_node_id = n.id
        WHERE n.name = $1 FOR UPDATE OF n`,
      [request.name, this.config.nodeLeaseSeconds],
    );
    if (existing?.alive === true)
      throw new ApiError(409, `A node named ${request.name} is alive. Choose another name with --name.`);
    if (existing !== undefined) {
      await query.query('UPDATE compute_node SET key_hash = $2 WHERE id = $1', [existing.id, hashSecret(nodeKey)]);
      return { ...(await this.update(query, existing.id, regionId, request)), nodeKey };
    }
    const [created] = await query.query<{ id: ComputeNodeId }[]>(
      `INSERT INTO compute_node (region_id, name, key_hash, session, hypervisor, acceleration, protocol_version, cpus,
                                 vcpus_total, memory_mib_total, disk_gib_total)
       VALUES ($1, $2, $3, 0, '', '', 0, 0, 0, 0, 0)
       ON CONFLICT (name) DO NOTHING RETURNING id`,
      [regionId, request.name, hashSecret(nodeKey)],
    );
    if (created === undefined)
      throw new ApiError(409, `Another node named ${request.name} joined at this very moment. Choose another name.`);
    return { ...(await this.update(query, created.id, regionId, request)), nodeKey };
  }

  /**
   * A node that comes back smaller than what is claimed on it keeps the claims: its totals do not fall below them,
   * and nothing more is placed there until they do.
   */
  private async update(query: Query, id: ComputeNodeId, regionId: number, request: RegisterRequest): Promise<Returned> {
    const { capacity } = request;
    const [[node]] = await query.query<[[{ session: number }]]>(
      `UPDATE compute_node
          SET region_id = $2, session = session + 1, hypervisor = $3, acceleration = $4, protocol_version = $5,
              cpus = $6, vcpus_total = greatest($7, vcpus_used), memory_mib_total = greatest($8, memory_mib_used),
              disk_gib_total = greatest($9, disk_gib_used), fence_seconds = $10,
              lease_seconds = $11
        WHERE id = $1 RETURNING session`,
      [
        id,
        regionId,
        request.hypervisor,
        request.acceleration,
        request.protocolVersion,
        capacity.cpus,
        Math.floor(capacity.cpus * this.config.cpuAllocationRatio),
        capacity.memoryMib,
        capacity.diskGib,
        request.fencing === true ? this.config.fenceSeconds : null,
        this.config.nodeLeaseSeconds,
      ],
    );
    await query.query('DELETE FROM compute_node_gpu WHERE compute_node_id = $1 AND used = 0', [id]);
    await query.query(
      `INSERT INTO compute_node_gpu (compute_node_id, model, total)
       SELECT $1, g.model, sum(g.count) FROM jsonb_to_recordset($2) AS g(model text, count int) GROUP BY g.model
       ON CONFLICT (compute_node_id, model) DO UPDATE SET total = greatest(excluded.total, compute_node_gpu.used)`,
      [id, JSON.stringify(capacity.gpus)],
    );
    await query.query(
      `INSERT INTO compute_node_heartbeat (compute_node_id, beat_at, inventory_digest, inventory)
       VALUES ($1, now(), '', '[]') ON CONFLICT (compute_node_id) DO UPDATE SET beat_at = clock_timestamp(), inventory_sequence = NULL`,
      [id],
    );
    await query.query(
      `UPDATE task SET state = 'pending', available_at = now() WHERE compute_node_id = $1 AND state = 'published'`,
      [id],
    );
    return { session: node.session, ended: await this.returned(query, id) };
  }

  /**
   * A node that may have been lost. Its row is locked, and so it is by whoever starts a VM elsewhere: what has not ended
   * by now will not, and is started again where its node had to stop it.
   */
  private async returned(query: Query, id: ComputeNodeId): Promise<IncarnationRef[]> {
    await query.query('UPDATE incarnation SET stranded_at = NULL WHERE compute_node_id = $1 AND claimed AND stranded_at IS NOT NULL', [id]);
    await query.query(
      `INSERT INTO task (id, compute_node_id, virtual_machine_id, incarnation_id, generation)
       SELECT gen_random_uuid(), i.compute_node_id, vm.id, i.id, vm.generation
         FROM incarnation i JOIN virtual_machine vm ON vm.id = i.virtual_machine_id
        WHERE i.compute_node_id = $1 AND i.claimed AND i.ended_at IS NULL AND vm.hardware ? 'autoRecover'
          AND vm.desired_power = 'running' AND vm.observed = 'running'
          AND NOT EXISTS (SELECT 1 FROM task t WHERE t.virtual_machine_id = vm.id AND t.state IN ('pending', 'published'))`,
      [id],
    );
    return await query.query<IncarnationRef[]>(
      `SELECT vm.uuid AS "vmUuid", i.id AS "incarnationId"
         FROM incarnation i JOIN virtual_machine vm ON vm.id = i.virtual_machine_id
        WHERE i.compute_node_id = $1 AND i.left_behind ORDER BY i.id`,
      [id],
    );
  }

  /** Best effort: with the broker away the worker declares its queue itself when it comes back. */
  private async declareQueue(name: string): Promise<void> {
    await this.publisher
      .declareQueue(name)
      .catch((error: Error) => this.logger.warn(`The queue of node ${name} could not be declared yet: ${error.message}`));
  }
}
