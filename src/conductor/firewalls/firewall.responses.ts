/** How firewalls look from outside, field for field as Infrahub's clients know them, and the query that reads them. */
import { ApiProperty } from '@nestjs/swagger';
import { apiTime, Envelope, PagedEnvelope, type Page } from '../http/envelope.js';
import { ruleFields, SecurityGroupRuleFields, type RuleStatus, type SecurityRuleRow } from '../security-rules/security-rule.dto.js';

export class FirewallEnvironmentFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  name: string;

  @ApiProperty()
  region: string;
}

export class FirewallFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  name: string;

  @ApiProperty({ description: 'Empty for none.' })
  description: string;

  @ApiProperty()
  environment: FirewallEnvironmentFields;

  @ApiProperty({ enum: ['CREATING', 'SUCCESS'] })
  status: string;

  @ApiProperty({ description: 'UTC.' })
  created_at: string;
}

export class FirewallAttachmentVMModel {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  name: string;

  @ApiProperty({ description: 'Name of its environment.' })
  environment: string;

  @ApiProperty({ description: 'Name of its flavor.' })
  flavor: string;

  @ApiProperty()
  status: string;

  @ApiProperty({ description: 'UTC.' })
  created_at: string;
}

export class FirewallAttachmentModel {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty({ enum: ['pending', 'SUCCESS'], description: 'SUCCESS once the compute node has confirmed the rules.' })
  status: RuleStatus;

  @ApiProperty({ description: 'UTC.' })
  created_at: string;

  @ApiProperty()
  vm: FirewallAttachmentVMModel;
}

export class FirewallDetailFields extends FirewallFields {
  @ApiProperty({ type: [SecurityGroupRuleFields] })
  rules: SecurityGroupRuleFields[];

  @ApiProperty({ type: [FirewallAttachmentModel] })
  attachments: FirewallAttachmentModel[];
}

export class FirewallResponse extends Envelope {
  @ApiProperty()
  firewall: FirewallFields;

  constructor(message: string, firewall: FirewallFields) {
    super(message);
    this.firewall = firewall;
  }
}

export class FirewallDetailResponse extends Envelope {
  @ApiProperty()
  firewall: FirewallDetailFields;

  constructor(message: string, firewall: FirewallDetailFields) {
    super(message);
    this.firewall = firewall;
  }
}

export class FirewallsListResponse extends PagedEnvelope {
  @ApiProperty({ type: [FirewallDetailFields] })
  firewalls: FirewallDetailFields[];

  constructor(firewalls: FirewallDetailFields[], count: number, page: Page | undefined) {
    super('Getting firewalls successful', count, page);
    this.firewalls = firewalls;
  }
}

export class FirewallRule extends Envelope {
  @ApiProperty()
  firewall_rule: SecurityGroupRuleFields;

  constructor(message: string, rule: SecurityGroupRuleFields) {
    super(message);
    this.firewall_rule = rule;
  }
}

interface AttachmentRow {
  readonly id: number;
  readonly created_at: string;
  readonly confirmed: boolean;
  readonly vm: FirewallAttachmentVMModel;
}

export interface FirewallRow {
  readonly id: number;
  readonly name: string;
  readonly description: string;
  readonly created_at: Date;
  readonly environment: FirewallEnvironmentFields;
  readonly rules: readonly Omit<SecurityRuleRow, 'confirmed'>[];
  readonly attachments: readonly AttachmentRow[];
}

/** To be followed by a WHERE clause over `f`, `e` (environment) and `r` (region). */
export const SELECT_FIREWALL = `
  SELECT f.id, f.name, f.description, f.created_at,
         json_build_object('id', e.id, 'name', e.name, 'region', r.name) AS environment,
         coalesce((SELECT json_agg(s ORDER BY s.id) FROM security_rule s WHERE s.firewall_id = f.id), '[]') AS rules,
         coalesce((
           SELECT json_agg(json_build_object('id', a.id, 'created_at', a.created_at,
                    'confirmed', vm.observed_generation >= a.generation AND vm.observed IN ('running', 'stopped'),
                    'vm', json_build_object('id', vm.id, 'name', vm.name, 'environment', ve.name, 'flavor', vf.name,
                                            'status', vm.status, 'created_at', vm.created_at)) ORDER BY a.id)
             FROM firewall_attachment a
             JOIN virtual_machine vm ON vm.id = a.virtual_machine_id AND vm.deleted_at IS NULL
             JOIN environment ve ON ve.id = vm.environment_id
             JOIN flavor vf ON vf.id = vm.flavor_id
            WHERE a.firewall_id = f.id), '[]') AS attachments
    FROM firewall f JOIN environment e ON e.id = f.environment_id JOIN region r ON r.id = e.region_id`;

/** The rules hold where all VMs have them: one that is behind makes them all pending. */
export function firewallDetails(row: FirewallRow): FirewallDetailFields {
  const confirmed = row.attachments.every((attachment) => attachment.confirmed);
  return {
    id: row.id,
    name: row.name,
    description: row.description,
    environment: row.environment,
    status: 'SUCCESS',
    created_at: apiTime(row.created_at),
    rules: row.rules.map((rule) => ruleFields({ ...rule, confirmed })),
    attachments: row.attachments.map((attachment) => ({
      id: attachment.id,
      status: attachment.confirmed ? 'SUCCESS' : 'pending',
      created_at: apiTime(new Date(attachment.created_at)),
      vm: { ...attachment.vm, created_at: apiTime(new Date(attachment.vm.created_at)) },
    })),
  };
}
