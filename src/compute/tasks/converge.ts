/**
 * Brings one VM to what its task wants, and says so. The table below is the whole road for each desired power; every
 * step looks before it does, so a task may be repeated after a crash between any two of them.
 *
 * Excluded races: the guest never starts before the conductor knows the hash of its metadata token and has confirmed
 * that this incarnation still lives; a start that failed is undone only when domain and disk were made by this process
 * and never ran, so nobody's data is ever removed but by an `absent` task or for an incarnation that has ended. Tasks of one
 * VM do not run side by side: that is the caller's promise.
 */
import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { ReportVerdict } from '../../protocol/report.js';
import type { SnapshotOutcome } from '../../protocol/snapshot.js';
import type { ConvergeTask, DesiredPower, VmSpec } from '../../protocol/task.js';
import type { ReportDraft } from '../uplink/reporter.js';
import { HypervisorError, type Hypervisor } from '../hypervisor/hypervisor.js';
import { pauseAfter } from '../retry.js';
import type { KnownVm } from './known-vms.js';
import { crashPoint } from '../../crash-points.js';

type Step = (visit: Visit) => Promise<'next' | 'ended'>;

/** Exported for the test that walks every step of it. */
export const ROADS: Readonly<Record<DesiredPower, readonly Step[]>> = {
  running: [look, restore, stopOutgrown, updateRunning, prepare, start, takeSnapshot, reportRunning],
  stopped: [look, prepareUnlessThere, stop, renewOutgrown, changeNetwork, setVolumes, takeSnapshot, reportStopped],
  hibernated: [look, changeNetwork, hibernate, reportHibernated],
  absent: [remove, reportAbsent],
};

const ATTEMPTS = 3;
const TOKEN_BYTES = 24;

export interface ConvergePorts {
  readonly hypervisor: Hypervisor;
  readonly report: (draft: ReportDraft) => Promise<ReportVerdict>;
  readonly logger: Logger;
  /** What must be in place before a guest of this kind runs. */
  readonly beforeStart?: (spec: VmSpec) => Promise<void>;
}

interface Visit extends ConvergePorts {
  readonly task: ConvergeTask;
  readonly known: KnownVm;
  /** What there was when the task was taken up. */
  found?: Awaited<ReturnType<Hypervisor['state']>>;
  snapshot?: SnapshotOutcome;
}

/** Resolves when the task may be acknowledged. @throws what nobody foresaw: the task shall be delivered again. */
export async function converge(task: ConvergeTask, known: KnownVm, ports: ConvergePorts): Promise<void> {
  const visit: Visit = { ...ports, task, known };
  try {
    for (const step of ROADS[task.spec.power]) {
      crashPoint(`converge:${step.name}`);
      if ((await step(visit)) === 'ended') return;
    }
  } catch (error) {
    if (!(error instanceof HypervisorError)) throw error;
    await giveUp(visit, error);
  }
}

async function look(visit: Visit): Promise<'next'> {
  visit.found = await persistent(() => visit.hypervisor.state(visit.task));
  return 'next';
}

/** Not defined anew: the guest goes on with the hardware and the token that it had. */
async function restore(visit: Visit): Promise<'next' | 'ended'> {
  const { hypervisor, task, found } = visit;
  if (found !== 'hibernated') return 'next';
  if ((await heed(visit, await visit.report({ ...about(task), observed: 'building' }))) === 'ended') return 'ended';
  await visit.beforeStart?.(task.spec);
  await persistent(() => hypervisor.start(task));
  visit.found = 'running';
  return 'next';
}

/** What was made of another flavor's hardware is stopped; then it is defined again, with its disk, and started. */
async function stopOutgrown(visit: Visit): Promise<'next'> {
  const { hypervisor, task, found } = visit;
  if (found !== 'running' || !(await persistent(() => hypervisor.isOutgrown(task, task.spec)))) return 'next';
  await persistent(() => hypervisor.stop(task));
  visit.found = 'stopped';
  return 'next';
}

/** So that its owner learns now, and not when it is started, that its node cannot make it so. */
async function renewOutgrown(visit: Visit): Promise<'next'> {
  const { hypervisor, task } = visit;
  if (!(await persistent(() => hypervisor.isOutgrown(task, task.spec)))) return 'next';
  // Its start defines it once more, with a token that is reported.
  await persistent(() => hypervisor.define(task, task.spec, newToken()));
  return 'next';
}

/** A running guest is left running; what can change on it (its floating address and security rules) is applied by defining it again, and it is reset if that was asked for. */
async function updateRunning(visit: Visit): Promise<'next' | 'ended'> {
  const { hypervisor, task, known, found } = visit;
  if (found !== 'running') return 'next';
  known.madeUnstarted = undefined;
  await persistent(() => hypervisor.resume(task));
  await persistent(() => hypervisor.define(task, task.spec, newToken()));
  await setVolumes(visit);
  await persistent(() => hypervisor.reset(task, task.spec.resets ?? 0));
  await takeSnapshot(visit);
  return await reportRunning(visit);
}

async function prepareUnlessThere(visit: Visit): Promise<'next' | 'ended'> {
  return visit.found === undefined ? await prepare(visit) : 'next';
}

/** The report and the disk take their time side by side; the guest starts only when both are there. */
async function prepare(visit: Visit): Promise<'next' | 'ended'> {
  const { hypervisor, task, known, found } = visit;
  const token = newToken();
  const metadataTokenHash = createHash('sha256').update(token).digest('hex');
  // Somebody may have removed the domain alone: its disk is not ours to remove then.
  if (found === undefined && task.spec.hasDisk !== true) known.madeUnstarted = task.incarnationId;
  const [reported, defined] = await Promise.allSettled([
    visit.report({ ...about(task), observed: 'building', metadataTokenHash }),
    persistent(() => hypervisor.define(task, task.spec, token)),
  ]);
  if (reported.status === 'rejected') throw reported.reason;
  if ((await heed(visit, reported.value)) === 'ended') return 'ended';
  if (defined.status === 'rejected') throw defined.reason;
  return await setVolumes(visit);
}

/** Nothing for a VM that never had any: what it has is then nobody's business here. */
async function setVolumes({ hypervisor, task }: Visit): Promise<'next'> {
  const { volumes, rootVolume } = task.spec;
  if (volumes !== undefined || rootVolume !== undefined)
    await persistent(() => hypervisor.setVolumes(task, volumes ?? [], rootVolume));
  return 'next';
}

/** The VM is none the worse for one that cannot be taken. */
async function takeSnapshot(visit: Visit): Promise<'next'> {
  const { hypervisor, task, logger } = visit;
  const { snapshot } = task.spec;
  if (snapshot === undefined) return 'next';
  const { uuid } = snapshot;
  try {
    const { sizeBytes } = await persistent(() => hypervisor.takeSnapshot(task, uuid));
    visit.snapshot = { uuid, sizeBytes };
  } catch (error) {
    if (!(error instanceof HypervisorError)) throw error;
    logger.warn({ vmUuid: task.vmUuid, snapshot: uuid, err: error }, 'a snapshot could not be taken');
    visit.snapshot = { uuid, problem: error.message };
  }
  return 'next';
}

async function start({ hypervisor, task, known, beforeStart }: Visit): Promise<'next'> {
  await beforeStart?.(task.spec);
  await persistent(() => hypervisor.start(task));
  known.madeUnstarted = undefined;
  return 'next';
}

async function stop({ hypervisor, task }: Visit): Promise<'next'> {
  await persistent(() => hypervisor.stop(task));
  return 'next';
}

/** Its floating address may go to another VM as soon as this one is reported. */
async function changeNetwork({ hypervisor, task }: Visit): Promise<'next'> {
  await persistent(() => hypervisor.changeNetwork(task, task.spec));
  return 'next';
}

async function hibernate(visit: Visit): Promise<'next' | 'ended'> {
  const { hypervisor, task, known, found } = visit;
  known.madeUnstarted = undefined;
  // There is neither memory nor disk to keep, and making both anew would hide that.
  if (found === undefined) return await reportAbsent(visit);
  await persistent(() => hypervisor.hibernate(task));
  return 'next';
}

async function remove({ hypervisor, task, known }: Visit): Promise<'next'> {
  await persistent(() => hypervisor.remove(task));
  known.madeUnstarted = undefined;
  return 'next';
}

function reportRunning(visit: Visit): Promise<'ended'> {
  return conclude(visit, { observed: 'running', ...volumes(visit), ...snapshot(visit) });
}

function reportStopped(visit: Visit): Promise<'ended'> {
  return conclude(visit, { observed: 'stopped', ...volumes(visit), ...snapshot(visit) });
}

function reportHibernated(visit: Visit): Promise<'ended'> {
  return conclude(visit, { observed: 'hibernated' });
}

function reportAbsent(visit: Visit): Promise<'ended'> {
  return conclude(visit, { observed: 'absent' });
}

async function conclude(visit: Visit, seen: Pick<ReportDraft, 'observed' | 'volumes' | 'snapshot' | 'reason' | 'cause'>): Promise<'ended'> {
  const verdict = await visit.report({ ...about(visit.task), ...seen });
  await heed(visit, verdict);
  // From here on its owner has it, with its disk: what fails later is never undone.
  if (verdict === 'accepted') visit.known.madeUnstarted = undefined;
  return 'ended';
}

/** Only an accepted report lets the task go on. */
async function heed(visit: Visit, verdict: ReportVerdict): Promise<'next' | 'ended'> {
  if (verdict === 'accepted') return 'next';
  const { hypervisor, task, known, logger } = visit;
  const context = { vmUuid: task.vmUuid, incarnationId: task.incarnationId, taskId: task.taskId };
  if (verdict === 'ended' && task.spec.power !== 'absent') {
    await persistent(() => hypervisor.remove(task));
    known.madeUnstarted = undefined;
    logger.info(context, 'removed what there was of an incarnation that has ended');
  }
  if (verdict === 'stale') logger.info(context, 'dropped a task that newer news has overtaken');
  return 'ended';
}

const about = ({ taskId, incarnationId, generation }: ConvergeTask) => ({ taskId, incarnationId, generation });

/** They were just set: what the domain has is what the task wants. */
function volumes({ task }: Visit): Pick<ReportDraft, 'volumes'> {
  const { volumes: attached, rootVolume } = task.spec;
  if (attached === undefined && rootVolume === undefined) return {};
  return { volumes: [...(rootVolume ? [rootVolume] : []), ...(attached ?? [])].map(({ uuid }) => uuid) };
}

const snapshot = ({ snapshot: outcome }: Visit) => outcome && { snapshot: outcome };

async function giveUp(visit: Visit, error: HypervisorError): Promise<void> {
  const { hypervisor, task, known, logger } = visit;
  const context = { vmUuid: task.vmUuid, incarnationId: task.incarnationId, taskId: task.taskId };
  logger.warn({ ...context, err: error }, `the VM cannot be made ${task.spec.power}`);
  if (known.madeUnstarted === task.incarnationId) {
    try {
      await persistent(() => hypervisor.remove(task));
      known.madeUnstarted = undefined;
    } catch (left) {
      // The failure is reported all the same: the heartbeat's inventory shows what is left behind.
      logger.error({ ...context, err: left }, 'what was made for the VM could not be removed');
    }
  }
  await conclude(visit, { observed: 'failed', reason: error.message, cause: error.failure });
}

async function persistent<Result>(call: () => Promise<Result>): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof HypervisorError) || !error.retryable || attempt === ATTEMPTS) throw error;
      await sleep(pauseAfter(attempt));
    }
  }
}

const newToken = (): string => randomBytes(TOKEN_BYTES).toString('base64url');
