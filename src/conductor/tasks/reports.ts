/**
 * Takes in what workers report: one transaction for a whole batch, three statements whatever its size. Owns the
 * observed columns of VMs and incarnations, the end of tasks, and the release of claims when an incarnation ends.
 *
 * The race it excludes: reports and user requests about one VM. Both lock the VM's row first, in the order of ids, so
 * a status is always derived from the latest desire and the latest observation.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { ComputeNodeId, IncarnationId, OrganizationId, VmId } from '../../protocol/ids.js';
import type { ReportVerdict, VmReport } from '../../protocol/report.js';
import type { DesiredPower } from '../../protocol/task.js';
import { CallbackDeliverer } from '../callbacks/callback-deliverer.js';
import { PreparedStatement } from '../database/prepared-statement.js';
import type { Observed, Operation, VmStatus } from '../virtual-machines/vm-status.js';
import { writeStatusChanges, type StatusChange } from '../virtual-machines/vm-status-changes.js';
import { settleSnapshots, type SnapshotEnd } from '../snapshots/snapshot-reports.js';
import { settleAttachments, type AttachmentNews } from '../volumes/attachment-reports.js';
import { foldReport, type ReportedVm } from './report-folding.js';
import { crashPoint } from '../../crash-points.js';

interface ReportedRow {
  readonly incarnation_id: IncarnationId;
  readonly vm_id: VmId;
  readonly organization_id: OrganizationId;
  readonly name: string;
  readonly desired_power: DesiredPower;
  readonly operation: Operation;
  readonly generation: number;
  readonly observed: Observed;
  readonly observed_generation: number;
  readonly status: VmStatus;
  readonly fault: string | null;
  readonly has_run: boolean;
  readonly metadata_token_hash: string | null;
  readonly last_sequence: string;
  readonly has_callback: boolean;
  /** It has or had volumes. */
  readonly has_volumes: boolean;
  readonly attempt: number;
  readonly failure: string | null;
  /** One is to be taken. */
  readonly has_snapshot: boolean;
}

/** A status that the VM went through while the batch was folded. */
interface Step {
  readonly row: ReportedRow;
  readonly from: ReportedVm;
  readonly to: ReportedVm;
}

const LOCK = new PreparedStatement<ReportedRow>(
  'lock reported virtual machines',
  `
  SELECT i.id AS incarnation_id, vm.id AS vm_id, vm.organization_id, vm.name, vm.desired_power, vm.operation, vm.generation, vm.observed,
         vm.observed_generation, vm.status, vm.fault, vm.has_run, i.metadata_token_hash, i.last_sequence,
         vm.callback_url IS NOT NULL AS has_callback, vm.hardware ?| ARRAY['volumes', 'rootVolume'] AS has_volumes,
         vm.hardware ? 'snapshot' AS has_snapshot, i.attempt, i.failure
    FROM incarnation i JOIN virtual_machine vm ON vm.id = i.virtual_machine_id
   WHERE i.id = ANY($1) AND i.compute_node_id = $2 AND i.ended_at IS NULL
   ORDER BY vm.id FOR UPDATE OF vm, i`,
);

const WRITE = new PreparedStatement(
  'write reports',
  `
  WITH r AS (
    SELECT * FROM json_to_recordset($1) AS r(vm_id int, incarnation_id int, observed text, observed_generation int, status text,
      fault text, has_run boolean, metadata_token_hash text, last_sequence bigint, failure text, ended boolean, hibernated boolean, deleted boolean, task_id uuid, task_state text) LIMIT $2
  ), updated_vm AS (
    UPDATE virtual_machine vm
       SET observed = r.observed, observed_generation = r.observed_generation, status = r.status, fault = r.fault,
           has_run = r.has_run, deleted_at = CASE WHEN r.deleted THEN now() END
      FROM r WHERE vm.id = r.vm_id
  ), updated_incarnation AS (
    UPDATE incarnation i
       SET metadata_token_hash = r.metadata_token_hash, last_sequence = r.last_sequence, failure = r.failure,
           claimed = i.claimed AND NOT r.ended, hibernated = i.hibernated OR r.hibernated, ended_at = CASE WHEN r.ended THEN now() END
      FROM r WHERE i.id = r.incarnation_id
  ), released AS (
    SELECT i.compute_node_id, i.gpu_model, CASE WHEN i.hibernated THEN 0 ELSE i.vcpus END AS vcpus,
           CASE WHEN i.hibernated THEN 0 ELSE i.memory_mib END AS memory_mib,
           CASE WHEN i.hibernated THEN 0 ELSE i.gpu_count END AS gpu_count,
           CASE WHEN r.ended THEN i.disk_gib ELSE 0 END AS disk_gib
      FROM incarnation i JOIN r ON r.incarnation_id = i.id WHERE (r.ended OR r.hibernated) AND i.claimed
  ), updated_node AS (
    UPDATE compute_node n
       SET vcpus_used = n.vcpus_used - s.vcpus, memory_mib_used = n.memory_mib_used - s.memory_mib,
           disk_gib_used = n.disk_gib_used - s.disk_gib
      FROM (SELECT compute_node_id, sum(vcpus) AS vcpus, sum(memory_mib) AS memory_mib, sum(disk_gib) AS disk_gib
              FROM released GROUP BY compute_node_id) s
     WHERE n.id = s.compute_node_id
  ), updated_gpu AS (
    UPDATE compute_node_gpu g SET used = g.used - s.gpu_count
      FROM (SELECT compute_node_id, gpu_model, sum(gpu_count) AS gpu_count
              FROM released WHERE gpu_model IS NOT NULL GROUP BY compute_node_id, gpu_model) s
     WHERE g.compute_node_id = s.compute_node_id AND g.model = s.gpu_model
  ), released_ip AS (
    UPDATE floating_ip f SET virtual_machine_id = NULL
      FROM r JOIN virtual_machine vm ON vm.id = r.vm_id
     WHERE f.virtual_machine_id = r.vm_id AND (r.deleted OR r.hibernated AND vm.awaits_floating_ip
       OR f.detaching AND f.changed_for = vm.id AND f.changed_generation <= r.observed_generation AND r.observed IN ('running', 'stopped', 'hibernated'))
  )
  UPDATE task t
     SET state = CASE WHEN t.id = r.task_id THEN r.task_state ELSE 'superseded' END, finished_at = now(),
         last_error = CASE WHEN t.id = r.task_id THEN r.fault END
    FROM r
   WHERE r.task_state IS NOT NULL AND t.virtual_machine_id = r.vm_id AND t.state IN ('pending', 'published')
     AND (t.id = r.task_id OR t.generation <= r.observed_generation OR r.ended)`,
);

@Injectable()
export class Reports {
  private undoneListener: () => void = () => undefined;

  constructor(
    private readonly dataSource: DataSource,
    private readonly deliverer: CallbackDeliverer,
  ) {}

  /** To be told, after the commit, that VMs need another node. */
  onUndone(listener: () => void): void {
    this.undoneListener = listener;
  }

  /** @returns a verdict for each report, in order. A report on what is not placed on this node is `ended`. */
  async accept(nodeId: ComputeNodeId, reports: readonly VmReport[]): Promise<ReportVerdict[]> {
    if (reports.length === 0) return [];
    let callbacks = false;
    let undone = false;
    const verdicts = await this.dataSource.transaction(async (transaction) => {
      const ids = [...new Set(reports.map((report) => report.incarnationId))];
      const rows = await LOCK.run(transaction, [ids, nodeId]);
      const folded = foldBatch(rows, reports);
      await this.write(transaction, folded.changed);
      await nothingLeft(transaction, nodeId, reports.filter((_, index) => folded.verdicts[index] === 'ended'));
      const volumeCallbacks = await settleAttachments(transaction, attachmentNews(folded.changed));
      const changes = statusChanges(folded.steps);
      await writeStatusChanges(transaction, changes);
      const told = await settleSnapshots(transaction, snapshotEnds(folded.changed));
      callbacks = told || volumeCallbacks || changes.some((change) => change.hasCallback);
      crashPoint('reports:written');
      undone = [...folded.changed.values()].some((vm) => vm.observed === 'undone');
      return folded.verdicts;
    });
    crashPoint('reports:committed');
    if (callbacks) this.deliverer.wake();
    if (undone) this.undoneListener();
    return verdicts;
  }

  private async write(transaction: EntityManager, changed: ReadonlyMap<ReportedRow, ReportedVm>): Promise<void> {
    if (changed.size === 0) return;
    const rows = [...changed].map(([row, vm]) => ({
      vm_id: row.vm_id,
      incarnation_id: row.incarnation_id,
      observed: vm.observed,
      observed_generation: vm.observedGeneration,
      status: vm.status,
      fault: vm.fault,
      has_run: vm.hasRun,
      metadata_token_hash: vm.metadataTokenHash,
      last_sequence: vm.lastSequence,
      failure: vm.failure,
      ended: vm.ended,
      hibernated: vm.status === 'HIBERNATED',
      deleted: vm.status === 'DELETED',
      task_id: vm.concluded?.taskId,
      task_state: vm.concluded?.state,
    }));
    await WRITE.run(transaction, [JSON.stringify(rows), rows.length]);
  }
}

/** Of incarnations that ended before, of which something was left on their node. */
async function nothingLeft(transaction: EntityManager, nodeId: ComputeNodeId, ended: readonly VmReport[]): Promise<void> {
  const ids = ended.filter(({ observed }) => observed === 'absent').map(({ incarnationId }) => incarnationId);
  if (ids.length === 0) return;
  await transaction.query('UPDATE incarnation SET left_behind = false WHERE id = ANY($1) AND compute_node_id = $2 AND left_behind', [ids, nodeId]);
  // Of the removal that drift has asked for.
  await transaction.query(
    `UPDATE task t SET state = 'done', finished_at = now()
       FROM incarnation i WHERE i.id = t.incarnation_id AND i.id = ANY($1) AND i.compute_node_id = $2 AND i.ended_at IS NOT NULL
        AND t.state IN ('pending', 'published')`,
    [ids, nodeId],
  );
}

function foldBatch(rows: readonly ReportedRow[], reports: readonly VmReport[]) {
  const states = new Map(rows.map((row) => [row.incarnation_id, { row, vm: toReportedVm(row) }]));
  const changed = new Map<ReportedRow, ReportedVm>();
  const steps: Step[] = [];
  const verdicts = reports.map((report): ReportVerdict => {
    const state = states.get(report.incarnationId);
    if (state === undefined) return 'ended';
    const { verdict, vm } = foldReport(state.vm, report);
    if (vm === state.vm) return verdict;
    steps.push({ row: state.row, from: state.vm, to: vm });
    changed.set(state.row, vm);
    state.vm = vm;
    return verdict;
  });
  return { verdicts, changed, steps };
}

function toReportedVm(row: ReportedRow): ReportedVm {
  return {
    desiredPower: row.desired_power,
    operation: row.operation,
    generation: row.generation,
    observed: row.observed,
    observedGeneration: row.observed_generation,
    status: row.status,
    fault: row.fault,
    hasRun: row.has_run,
    metadataTokenHash: row.metadata_token_hash,
    lastSequence: Number(row.last_sequence),
    attempt: row.attempt,
    hasVolumes: row.has_volumes,
    failure: row.failure,
    ended: false,
    concluded: undefined,
  };
}

const attachmentNews = (changed: ReadonlyMap<ReportedRow, ReportedVm>): AttachmentNews[] =>
  [...changed]
    .filter(([row]) => row.has_volumes)
    .map(([row, vm]) => ({ vmId: row.vm_id, ended: vm.ended, seen: vm.seenVolumes }));

const snapshotEnds = (changed: ReadonlyMap<ReportedRow, ReportedVm>): SnapshotEnd[] =>
  [...changed]
    .filter(([row]) => row.has_snapshot)
    .map(([row, vm]) => ({
      vmId: row.vm_id,
      // Of a VM that is gone no later wish is left.
      generation: vm.ended ? vm.generation : vm.observedGeneration,
      outcome: vm.snapshot,
      over: vm.ended || vm.observed !== 'building',
      fault: vm.fault,
    }));

const statusChanges = (steps: readonly Step[]): StatusChange[] =>
  steps
    .filter(({ from, to }) => from.status !== to.status)
    .map(({ row, from, to }) => ({
      vmId: row.vm_id,
      organizationId: row.organization_id,
      name: row.name,
      from: from.status,
      status: to.status,
      observed: to.observed,
      fault: to.fault,
      userId: null,
      hasCallback: row.has_callback,
    }));
