/** An environment as clients read a cluster. What only who runs it knows (its address, its version) is null. */
import { ApiProperty } from '@nestjs/swagger';
import { apiTime, Envelope } from '../http/envelope.js';

const UNKNOWN = { type: 'string', nullable: true, description: 'Baton does not know it.' } as const;

export class ClusterFields {
  @ApiProperty({ type: 'integer', description: "The environment's." })
  id: number;

  @ApiProperty()
  name: string;

  @ApiProperty()
  environment_name: string;

  @ApiProperty({ enum: ['ACTIVE'] })
  status: string = 'ACTIVE';

  @ApiProperty({ description: 'UTC.' })
  created_at: string;

  @ApiProperty()
  is_reconciling: boolean = false;

  @ApiProperty(UNKNOWN)
  status_reason: string | null = null;

  @ApiProperty(UNKNOWN)
  api_address: string | null = null;

  @ApiProperty(UNKNOWN)
  kube_config: string | null = null;

  @ApiProperty(UNKNOWN)
  kubernetes_version: string | null = null;

  @ApiProperty(UNKNOWN)
  keypair_name: string | null = null;

  @ApiProperty({ ...UNKNOWN, type: 'object', additionalProperties: true })
  master_flavor: object | null = null;

  @ApiProperty({ type: 'array', items: { type: 'object' }, description: 'Always empty: its VMs are in the list of VMs.' })
  nodes: object[] = [];

  @ApiProperty({ type: 'array', items: { type: 'object' }, description: 'Always empty.' })
  node_groups: object[] = [];

  constructor({ id, name, created_at }: { readonly id: number; readonly name: string; readonly created_at: Date }) {
    this.id = id;
    this.name = name;
    this.environment_name = name;
    this.created_at = apiTime(created_at);
  }
}

export class ClusterResponse extends Envelope {
  @ApiProperty()
  cluster: ClusterFields;

  constructor(environment: ConstructorParameters<typeof ClusterFields>[0]) {
    super('Getting cluster detail successful');
    this.cluster = new ClusterFields(environment);
  }
}
