/** `baton admin fsck`: asks every invariant, in one snapshot, and says by name what is broken and what to do. */
import type { DataSource } from 'typeorm';
import { deriveStatus, type StatusInput, type VmStatus } from '../virtual-machines/vm-status.js';
import { INVARIANTS } from './invariants.js';

export interface Finding {
  readonly invariant: string;
  readonly subject: string;
  readonly detail: string;
  readonly advice: string;
  /** `--repair` was asked for, and put it right. */
  readonly repaired: boolean;
}

interface StatusRow extends StatusInput {
  readonly id: number;
  readonly status: VmStatus;
}

/** @returns what is broken; nothing is the good answer. */
export async function fsck(dataSource: DataSource, { repair = false } = {}): Promise<Finding[]> {
  return dataSource.transaction('REPEATABLE READ', async (transaction) => {
    const findings: Finding[] = [];
    for (const { name, advice, violations, repair: remedy } of INVARIANTS) {
      const rows = await transaction.query<{ subject: string; detail: string }[]>(violations);
      const repaired = repair && remedy !== undefined && rows.length > 0;
      if (repaired) await transaction.query(remedy);
      findings.push(...rows.map((row) => ({ invariant: name, ...row, advice, repaired })));
    }
    const vms = await transaction.query<StatusRow[]>(
      `SELECT id, status, desired_power AS "desiredPower", operation, generation, observed, observed_generation AS "observedGeneration"
         FROM virtual_machine WHERE deleted_at IS NULL`,
    );
    findings.push(...vms.filter((vm) => vm.status !== deriveStatus(vm)).map(misshownStatus));
    return findings;
  });
}

const misshownStatus = (vm: StatusRow): Finding => ({
  invariant: 'status-is-derived',
  subject: `vm ${vm.id}`,
  detail: `is shown as ${vm.status}, but what is desired and observed say ${deriveStatus(vm)}`,
  advice: 'Something wrote the status past the state table. Report this as a defect, with the events of the VM.',
  repaired: false,
});
