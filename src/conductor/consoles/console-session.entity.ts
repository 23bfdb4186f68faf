import { Check, Column, CreateDateColumn, Entity, ForeignKey, Index, PrimaryGeneratedColumn } from 'typeorm';
import type { ConsoleKind } from '../../protocol/console.js';
import type { ComputeNodeId, IncarnationId, OrganizationId, UserId, VmId } from '../../protocol/ids.js';
import { ComputeNode } from '../fleet/compute-node.entity.js';
import { ApiKey } from '../identity/api-key.entity.js';
import { Membership } from '../identity/membership.entity.js';
import { Incarnation } from '../virtual-machines/incarnation.entity.js';
import { VirtualMachine } from '../virtual-machines/virtual-machine.entity.js';
import type { ConsoleState } from './console-sessions.service.js';

/** Somebody's look at a console, from the request to its end; forgotten ten minutes after that. */
@Entity()
@Index('idx_console_session_asked', ['computeNodeId'], { where: `"held_by" IS NULL AND "state" <> 'ended'` })
@Index('idx_console_session_living', ['virtualMachineId'], { where: `"state" <> 'ended'` })
@Index('idx_console_session_ticket', ['ticketHash'], { unique: true, where: '"ticket_hash" IS NOT NULL' })
@Check('ck_console_session_kind', `"kind" IN ('vnc', 'serial')`)
@Check('ck_console_session_state', `"state" IN ('requested', 'ready', 'open', 'ended')`)
@Check('ck_console_session_ticket', `"ticket_hash" IS NULL OR ("state" = 'ready' AND "ticket_expires_at" IS NOT NULL)`)
@ForeignKey(() => Membership, ['organizationId', 'userId'], ['organizationId', 'userId'], { onDelete: 'CASCADE' })
export class ConsoleSession {
  /** The API's `job_id`. */
  @PrimaryGeneratedColumn('identity', { type: 'int' })
  id: number;

  @Column('int')
  organizationId: OrganizationId;

  @Column('int')
  userId: UserId;

  /** A key that is revoked takes its consoles along, as a member does who leaves. */
  @Column('int')
  @ForeignKey(() => ApiKey, { onDelete: 'CASCADE' })
  apiKeyId: number;

  @Column('int')
  @ForeignKey(() => VirtualMachine)
  virtualMachineId: VmId;

  @Column('int')
  @ForeignKey(() => Incarnation)
  incarnationId: IncarnationId;

  /** The incarnation's: the only node that may bring the console. */
  @Column('int')
  @ForeignKey(() => ComputeNode)
  computeNodeId: ComputeNodeId;

  @Column('text')
  kind: ConsoleKind;

  @Column('text', { default: 'requested' })
  state: ConsoleState;

  /** SHA-256 of the ticket; null before it was fetched and after it was used. */
  @Column('bytea', { nullable: true })
  ticketHash: Buffer | null;

  @Column('timestamptz', { nullable: true })
  ticketExpiresAt: Date | null;

  /** Address, among conductors, of the one that the worker's websocket has come to. */
  @Column('text', { nullable: true })
  heldBy: string | null;

  @CreateDateColumn({ type: 'timestamptz' })
  requestedAt: Date;

  @Column('timestamptz', { nullable: true })
  openedAt: Date | null;

  /** Deadline of the state that it is in; the conductor that serves an open one puts it off again and again. */
  @Column('timestamptz')
  expiresAt: Date;

  @Column('timestamptz', { nullable: true })
  endedAt: Date | null;

  /** Why it ended, in words fit for its owner. */
  @Column('text', { nullable: true })
  reason: string | null;
}
