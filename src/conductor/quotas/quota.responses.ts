import { ApiProperty } from '@nestjs/swagger';

/** Without the usual envelope, as Infrahub has it. */
export class VmQuota {
  @ApiProperty({ type: 'integer', nullable: true, description: 'Of the whole organization. Null: without limit.' })
  max_vms: number | null;

  @ApiProperty({ type: 'integer', description: 'Of the whole organization: those that hold a place on a node.' })
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
