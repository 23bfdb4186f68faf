/** Security rules as Infrahub's clients send and read them. Firewalls have the same rules. */
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsIn, IsInt, IsOptional, IsString, Max, MaxLength, Min } from 'class-validator';
import { PROTOCOL_NUMBERS, type ProtocolName, type SecurityRuleSpec } from '../../protocol/security-rule.js';
import { apiTime, Envelope } from '../http/envelope.js';

const PROTOCOLS = Object.keys(PROTOCOL_NUMBERS) as ProtocolName[];

/** Some clients write names in capitals. */
const inLowerCase = ({ value }: { value: unknown }): unknown => (typeof value === 'string' ? value.toLowerCase() : value);
const ETHERTYPES: ReadonlyMap<unknown, string> = new Map([
  ['ipv4', 'IPv4'],
  ['ipv6', 'IPv6'],
]);

export class CreateSecurityRulePayload {
  @ApiProperty({ enum: ['ingress', 'egress'] })
  @Transform(inLowerCase)
  @IsIn(['ingress', 'egress'])
  direction: SecurityRuleSpec['direction'];

  @ApiProperty({ enum: ['IPv4', 'IPv6'] })
  @Transform(({ value }) => ETHERTYPES.get(inLowerCase({ value })) ?? value)
  @IsIn(['IPv4', 'IPv6'])
  ethertype: SecurityRuleSpec['ethertype'];

  @ApiProperty({ enum: PROTOCOLS, description: 'In any case of letters.' })
  @Transform(inLowerCase)
  @IsIn(PROTOCOLS, { message: '$property must be one of the protocols that GET /v1/core/sg-rules-protocols lists' })
  protocol: ProtocolName;

  @ApiProperty({ example: '0.0.0.0/0', description: 'The other end. A bare address means that address alone.' })
  @IsString()
  @MaxLength(64)
  remote_ip_prefix: string;

  @ApiPropertyOptional({ type: 'integer', minimum: 0, maximum: 65535, description: 'For tcp, udp and sctp; without ports, all. 0 is none.' })
  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(65_535)
  port_range_min?: number | null;

  @ApiPropertyOptional({ type: 'integer', minimum: 0, maximum: 65535, description: 'Without one of the two, the other alone.' })
  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(65_535)
  port_range_max?: number | null;
}

export class SecurityGroupRuleFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty({ enum: ['ingress', 'egress'] })
  direction: string;

  @ApiProperty({ enum: PROTOCOLS })
  protocol: string;

  @ApiProperty({ enum: ['IPv4', 'IPv6'] })
  ethertype: string;

  @ApiProperty()
  remote_ip_prefix: string;

  @ApiProperty({ type: 'integer', nullable: true })
  port_range_min: number | null;

  @ApiProperty({ type: 'integer', nullable: true })
  port_range_max: number | null;

  @ApiProperty({ enum: ['pending', 'SUCCESS'], description: 'SUCCESS once the compute node has confirmed it.' })
  status: RuleStatus;

  @ApiProperty({ description: 'UTC.' })
  created_at: string;
}

export class SecurityGroupRule extends Envelope {
  @ApiProperty()
  security_rule: SecurityGroupRuleFields;

  constructor(message: string, rule: SecurityGroupRuleFields) {
    super(message);
    this.security_rule = rule;
  }
}

export class SecurityRulesProtocolFields extends Envelope {
  @ApiProperty({ type: [String] })
  protocols: string[] = PROTOCOLS;
}

export type RuleStatus = 'pending' | 'SUCCESS';

/** As queries read a rule, on its own or inside a JSON document. */
export interface SecurityRuleRow {
  readonly id: number;
  readonly direction: string;
  readonly protocol: string;
  readonly ethertype: string;
  readonly remote_ip_prefix: string;
  readonly port_range_min: number | null;
  readonly port_range_max: number | null;
  readonly confirmed: boolean;
  readonly created_at: Date | string;
}

export const ruleFields = ({ confirmed, created_at, ...rule }: SecurityRuleRow): SecurityGroupRuleFields => ({
  id: rule.id,
  direction: rule.direction,
  protocol: rule.protocol,
  ethertype: rule.ethertype,
  remote_ip_prefix: rule.remote_ip_prefix,
  port_range_min: rule.port_range_min,
  port_range_max: rule.port_range_max,
  status: confirmed ? 'SUCCESS' : 'pending',
  created_at: apiTime(new Date(created_at)),
});
