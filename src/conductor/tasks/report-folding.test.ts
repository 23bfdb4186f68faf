import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { IncarnationId, TaskId } from '../../protocol/ids.js';
import type { ObservedState, VmReport } from '../../protocol/report.js';
import { deriveStatus } from '../virtual-machines/vm-status.js';
import { foldReport, type ReportedVm } from './report-folding.js';

const TASK = 'f5a1b3f0-0000-4000-8000-000000000001' as TaskId;

const NEW: ReportedVm = {
  desiredPower: 'running',
  operation: 'create',
  generation: 1,
  observed: 'nothing',
  observedGeneration: 0,
  status: 'CREATING',
  fault: null,
  hasRun: false,
  metadataTokenHash: null,
  lastSequence: 0,
  attempt: 1,
  hasVolumes: false,
  failure: null,
  ended: false,
  concluded: undefined,
};

const RUNNING: ReportedVm = {
  ...NEW,
  observed: 'running',
  observedGeneration: 1,
  status: 'ACTIVE',
  hasRun: true,
  metadataTokenHash: 'a'.repeat(64),
  lastSequence: 10,
};

const report = (sequence: number, observed: ObservedState, change: Partial<VmReport> = {}): VmReport => ({
  incarnationId: 1 as IncarnationId,
  generation: 1,
  sequence,
  observed,
  ...change,
});

const foldAll = (vm: ReportedVm, reports: readonly VmReport[]): ReportedVm =>
  reports.reduce((state, next) => foldReport(state, next).vm, vm);

describe('a report', () => {
  it('brings a new VM to BUILD and then to ACTIVE, and knows from then on that it has run', () => {
    const building = foldReport(NEW, report(1, 'building', { metadataTokenHash: 'b'.repeat(64) })).vm;
    expect(building).toMatchObject({ status: 'BUILD', metadataTokenHash: 'b'.repeat(64), concluded: undefined });
    const active = foldReport(building, report(2, 'running', { taskId: TASK })).vm;
    expect(active).toMatchObject({
      status: 'ACTIVE',
      hasRun: true,
      metadataTokenHash: 'b'.repeat(64),
      concluded: { taskId: TASK, state: 'done' },
    });
  });

  it('that is the last one again is accepted, and changes nothing', () => {
    expect(foldReport(RUNNING, report(10, 'failed'))).toEqual({ verdict: 'accepted', vm: RUNNING });
  });

  it('that is older than the last one is stale, and changes nothing', () => {
    expect(foldReport(RUNNING, report(9, 'failed'))).toEqual({ verdict: 'stale', vm: RUNNING });
  });

  it('on an incarnation that is over has ended, and changes nothing', () => {
    const ended = { ...RUNNING, ended: true };
    expect(foldReport(ended, report(11, 'running'))).toEqual({ verdict: 'ended', vm: ended });
  });

  it('of a first start that failed leaves the VM in BUILD with its claim, to be tried elsewhere', () => {
    const building = foldReport(NEW, report(1, 'building')).vm;
    const { vm } = foldReport(building, report(2, 'failed', { reason: 'no disk', taskId: TASK }));
    const concluded = { taskId: TASK, state: 'failed' };
    expect(vm).toMatchObject({ status: 'BUILD', observed: 'undone', failure: 'no disk', fault: null, ended: false, concluded });
    expect(vm.observedGeneration).toBe(0);
    expect(foldReport(vm, report(3, 'failed', { reason: 'no disk' })).vm).toMatchObject({ observed: 'undone', ended: false });
  });

  it.each<[string, ReportedVm, Partial<VmReport>]>([
    ['on the third node', { ...NEW, attempt: 3 }, {}],
    ['because of the image', NEW, { cause: 'image' }],
    ['because of what was asked for', NEW, { cause: 'request' }],
    ['though it has volumes there', { ...NEW, hasVolumes: true }, {}],
  ])('of a first start that failed %s ends the incarnation, with the reason', (_, start, change) => {
    const { vm } = foldReport(start, report(1, 'failed', { reason: 'no disk', taskId: TASK, ...change }));
    const concluded = { taskId: TASK, state: 'failed' };
    expect(vm).toMatchObject({ status: 'ERROR', fault: 'no disk', failure: 'no disk', ended: true, concluded });
  });

  it('of a failure of a VM that had run leaves it its place', () => {
    expect(foldReport(RUNNING, report(11, 'failed', { reason: 'crashed' })).vm).toMatchObject({ status: 'ERROR', ended: false });
  });

  it('of a failure while a VM that had run is built anew leaves it its place and its disk', () => {
    const rebuilding = foldReport({ ...RUNNING, observed: 'stopped' }, report(11, 'building')).vm;
    expect(foldReport(rebuilding, report(12, 'failed')).vm).toMatchObject({ status: 'ERROR', ended: false });
  });

  it('of a failure without a reason says that there is none, whatever failed before', () => {
    const failed = foldReport(RUNNING, report(11, 'failed', { reason: 'crashed' })).vm;
    expect(foldReport(failed, report(12, 'failed')).vm.fault).toContain('did not say why');
    expect(foldReport(failed, report(12, 'absent')).vm.fault).toContain('gone from its node');
  });

  it('that a VM is built leaves it on its way, until it runs', () => {
    const starting: ReportedVm = { ...RUNNING, operation: 'start', generation: 2, observed: 'stopped', status: 'STARTING' };
    const building = foldReport(starting, report(11, 'building', { generation: 2 })).vm;
    expect(building.status).toBe('STARTING');
    expect(foldReport(building, report(12, 'running', { generation: 2 })).vm.status).toBe('ACTIVE');
  });

  it('that a VM is hibernated settles it, and a late one leaves it on its way back', () => {
    const hibernating: ReportedVm = { ...RUNNING, desiredPower: 'hibernated', operation: 'hibernate', generation: 2, status: 'HIBERNATING' };
    const hibernated = foldReport(hibernating, report(11, 'hibernated', { generation: 2, taskId: TASK })).vm;
    expect(hibernated).toMatchObject({ status: 'HIBERNATED', ended: false, concluded: { taskId: TASK, state: 'done' } });
    const restoring: ReportedVm = { ...hibernated, desiredPower: 'running', operation: 'hibernate-restore', generation: 3, status: 'RESTORING' };
    expect(foldReport(restoring, report(12, 'hibernated', { generation: 2 })).vm.status).toBe('RESTORING');
    expect(foldReport(restoring, report(12, 'running', { generation: 3 })).vm.status).toBe('ACTIVE');
  });

  it('of a guest that went off before it could be hibernated shows SHUTOFF', () => {
    const hibernating: ReportedVm = { ...RUNNING, desiredPower: 'hibernated', operation: 'hibernate', generation: 2, status: 'HIBERNATING' };
    expect(foldReport(hibernating, report(11, 'stopped', { generation: 2 })).vm.status).toBe('SHUTOFF');
  });

  it('of a resize that failed leaves the VM its place and its disk', () => {
    const resizing: ReportedVm = { ...RUNNING, operation: 'resize', generation: 2, status: 'RESIZING' };
    const building = foldReport(resizing, report(11, 'building', { generation: 2 })).vm;
    expect(building.status).toBe('RESIZING');
    expect(foldReport(building, report(12, 'failed', { generation: 2, reason: 'no room' })).vm).toMatchObject({ status: 'ERROR', fault: 'no room', ended: false });
  });

  it('of a guest that switched itself off shows SHUTOFF, and finishes no task', () => {
    expect(foldReport(RUNNING, report(11, 'stopped')).vm).toMatchObject({ status: 'SHUTOFF', fault: null, concluded: undefined });
  });

  it('that nothing is left ends a VM that shall be gone, and only that', () => {
    const deleting: ReportedVm = { ...RUNNING, desiredPower: 'absent', operation: 'delete', generation: 2, status: 'DELETING' };
    expect(foldReport(deleting, report(11, 'absent', { generation: 2 })).vm).toMatchObject({ status: 'DELETED', ended: true });
    expect(foldReport(deleting, report(11, 'absent')).vm).toMatchObject({ status: 'DELETING', ended: false });
    expect(foldReport(RUNNING, report(11, 'absent')).vm).toMatchObject({ status: 'ERROR', ended: false });
  });

  it('cannot speak of a generation that nobody asked for', () => {
    expect(foldReport(RUNNING, report(11, 'running', { generation: 99 })).vm.observedGeneration).toBe(1);
  });

  it('of success takes the fault away', () => {
    const failed = foldReport(RUNNING, report(11, 'failed', { reason: 'crashed' })).vm;
    expect(foldReport(failed, report(12, 'running')).vm).toMatchObject({ status: 'ACTIVE', fault: null });
  });
});

describe('reports in any order and any number (P6)', () => {
  const observed = fc.constantFrom<ObservedState>('building', 'running', 'stopped', 'hibernated', 'absent', 'failed');
  const told = fc
    .uniqueArray(fc.integer({ min: 11, max: 60 }), { minLength: 1, maxLength: 12 })
    .chain((sequences) =>
      fc.tuple(
        ...sequences.map((sequence) =>
          fc.record({ observed, generation: fc.integer({ min: 1, max: 3 }), reason: fc.option(fc.string({ minLength: 1 }), { nil: undefined }) }).map(
            ({ reason, ...rest }): VmReport => report(sequence, rest.observed, { generation: rest.generation, ...(reason !== undefined && { reason }) }),
          ),
        ),
      ),
    );
  /** All of them at least once, in any order. */
  const arrivals = told.chain((reports) =>
    fc.tuple(
      fc.constant(reports),
      fc
        .array(fc.constantFrom(...reports), { maxLength: 12 })
        .chain((again) => fc.shuffledSubarray([...reports, ...again], { minLength: reports.length + again.length })),
    ),
  );
  /** VMs that have run, so that no report but the last word of a deletion ends their incarnation. */
  const vm = fc.constantFrom<ReportedVm>(
    { ...RUNNING, generation: 3, operation: 'hard-reboot', status: 'REBOOTING' },
    { ...RUNNING, generation: 3, desiredPower: 'stopped', operation: 'stop', status: 'STOPPING' },
    { ...RUNNING, generation: 3, desiredPower: 'hibernated', operation: 'hibernate', status: 'HIBERNATING' },
  );

  it('end in the same row: that of the highest sequence', () => {
    fc.assert(
      fc.property(vm, arrivals, (start, [reports, arrived]) => {
        const last = reports.reduce((a, b) => (a.sequence > b.sequence ? a : b));
        const end = foldAll(start, arrived);
        expect(end).toEqual(foldAll(start, reports.toSorted((a, b) => a.sequence - b.sequence)));
        expect(end).toMatchObject({ observed: last.observed, lastSequence: last.sequence });
        expect(end.status).toBe(deriveStatus({ ...end, generation: start.generation }));
      }),
    );
  });

  it('leave what has ended as it was', () => {
    const gone: ReportedVm = { ...RUNNING, desiredPower: 'absent', operation: 'delete', status: 'DELETED', ended: true };
    fc.assert(fc.property(arrivals, ([, arrived]) => expect(foldAll(gone, arrived)).toBe(gone)));
  });
});
