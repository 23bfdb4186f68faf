import { ApiProperty } from '@nestjs/swagger';
import { Envelope } from '../http/envelope.js';
import type { QuotaKind } from './quota-refusal.js';
import type { QuotaLine } from './set-quota.js';

/** Without the usual envelope, as Infrahub has it. */
export class VmQuota {
  @ApiProperty({
    type: 'integer',
    nullable: true,
    description: 'Of the environment or of its whole organization, whichever leaves less. Null: without limit.',
  })
  max_vms: number | null;

  @ApiProperty({ type: 'integer', description: 'Those that hold a place on a node, of what the limit is of.' })
  current_vms: number;

  @ApiProperty({ type: 'integer', nullable: true, description: 'Null: without limit.' })
  available_vms: number | null;

  @ApiProperty({ type: 'number' })
  percentage_used: number;

  @ApiProperty({ type: String, nullable: true, description: 'Always null: an environment has no network of its own.' })
  cidr: string | null = null;

  @ApiProperty()
  status: boolean = true;

  @ApiProperty()
  message: string = 'Getting VM quota successful';

  constructor(max: number | null, used: number) {
    this.max_vms = max;
    this.current_vms = used;
    // An operator may lower a limit below what is there.
    this.available_vms = max === null ? null : Math.max(max - used, 0);
    this.percentage_used = percentage(max, used);
  }
}

function percentage(max: number | null, used: number): number {
  if (max === null) return 0;
  return max === 0 ? 100 : Math.round((used / max) * 10_000) / 100;
}

export class QuotaAmount {
  @ApiProperty({ type: 'integer', nullable: true, description: 'Null: without a limit of its own.' })
  max: number | null;

  @ApiProperty({ type: 'integer' })
  used: number;
}

/** Beside these, the limits of the organization hold. */
export class EnvironmentQuotaFields implements Record<QuotaKind, QuotaAmount> {
  @ApiProperty()
  vms: QuotaAmount;

  @ApiProperty()
  vcpus: QuotaAmount;

  @ApiProperty()
  memory_mib: QuotaAmount;

  @ApiProperty()
  disk_gib: QuotaAmount;

  @ApiProperty()
  gpus: QuotaAmount;

  @ApiProperty()
  volumes: QuotaAmount;

  @ApiProperty()
  volume_gib: QuotaAmount;

  @ApiProperty()
  floating_ips: QuotaAmount;

  @ApiProperty()
  snapshots: QuotaAmount;

  @ApiProperty()
  snapshot_gib: QuotaAmount;
}

export class EnvironmentQuotaResponse extends Envelope {
  @ApiProperty()
  quota: EnvironmentQuotaFields;

  constructor(message: string, lines: readonly QuotaLine[]) {
    super(message);
    this.quota = Object.fromEntries(lines.map(({ kind, max, used }) => [kind, { max, used }])) as Record<QuotaKind, QuotaAmount>;
  }
}
