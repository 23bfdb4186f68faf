import { Check, Column, CreateDateColumn, Entity, ForeignKey, Index, PrimaryGeneratedColumn } from 'typeorm';
import type { VmId } from '../../protocol/ids.js';
import type { SecurityRuleSpec } from '../../protocol/security-rule.js';
import { Firewall } from '../firewalls/firewall.entity.js';
import { VirtualMachine } from '../virtual-machines/virtual-machine.entity.js';

/** What may pass to or from one VM, or all VMs that a firewall is attached to. */
@Entity()
@Index('idx_security_rule_vm', ['virtualMachineId'], { where: '"virtual_machine_id" IS NOT NULL' })
@Index('idx_security_rule_firewall', ['firewallId'], { where: '"firewall_id" IS NOT NULL' })
@Check('ck_security_rule_owner', '("virtual_machine_id" IS NULL) <> ("firewall_id" IS NULL)')
@Check('ck_security_rule_ports', '"port_range_min" <= "port_range_max"')
export class SecurityRule {
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  @Column('int', { nullable: true })
  @ForeignKey(() => VirtualMachine, { onDelete: 'CASCADE' })
  virtualMachineId: VmId | null;

  @Column('int', { nullable: true })
  @ForeignKey(() => Firewall, { onDelete: 'CASCADE' })
  firewallId: number | null;

  @Column('text')
  direction: SecurityRuleSpec['direction'];

  @Column('text')
  ethertype: SecurityRuleSpec['ethertype'];

  @Column('text')
  protocol: string;

  @Column('text')
  remoteIpPrefix: string;

  @Column('int', { nullable: true })
  portRangeMin: number | null;

  @Column('int', { nullable: true })
  portRangeMax: number | null;

  /** The VM's generation that has the rule first: from then on it is in force. Of a firewall's, the attachments tell. */
  @Column('int', { default: 1 })
  generation: number;

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;
}
