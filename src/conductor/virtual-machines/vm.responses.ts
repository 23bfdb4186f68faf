/** What `/v1/core/virtual-machines` answers with. Names and types are Infrahub's, additions are marked. */
import { ApiProperty } from '@nestjs/swagger';
import { FlavorFeatures } from '../catalog/flavor.responses.js';
import type { GreenStatus } from '../catalog/region.entity.js';
import { Envelope, PagedEnvelope } from '../http/envelope.js';
import { SecurityGroupRuleFields } from '../security-rules/security-rule.dto.js';
import { AttachmentOfVm } from '../volumes/volume.responses.js';
import type { VmAction, VmStatus } from './vm-status.js';

class GreenFeatures {
  @ApiProperty()
  network_optimised: boolean;

  @ApiProperty({ enum: ['GREEN', 'PARTIALLY_GREEN', 'NOT_GREEN'] })
  green_status: GreenStatus;
}

class InstanceEnvironmentFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  name: string;

  @ApiProperty({ type: 'integer' })
  org_id: number;

  @ApiProperty()
  region: string;

  @ApiProperty()
  features: GreenFeatures;
}

class NamedFields {
  @ApiProperty()
  name: string;
}

class InstanceFlavorFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  name: string;

  @ApiProperty({ type: 'integer' })
  cpu: number;

  @ApiProperty({ description: 'GB.' })
  ram: number;

  @ApiProperty({ type: 'integer', description: 'GB.' })
  disk: number;

  @ApiProperty({ type: 'integer' })
  ephemeral: number;

  @ApiProperty({ description: 'GPU model; empty for none.' })
  gpu: string;

  @ApiProperty({ type: 'integer' })
  gpu_count: number;

  @ApiProperty()
  features: FlavorFeatures;

  @ApiProperty({ type: [Object] })
  labels: { id: number; label: string }[];
}

export class InstanceFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  name: string;

  @ApiProperty({ enum: ['CREATING', 'BUILD', 'ACTIVE', 'STARTING', 'STOPPING', 'REBOOTING', 'SHUTOFF', 'ERROR', 'DELETING'] })
  status: VmStatus;

  @ApiProperty({ type: String, nullable: true })
  power_state: string | null;

  @ApiProperty({ type: String, nullable: true })
  vm_state: string | null;

  @ApiProperty()
  environment: InstanceEnvironmentFields;

  @ApiProperty()
  image: NamedFields;

  @ApiProperty({ description: "The image's name." })
  os: string;

  @ApiProperty()
  flavor: InstanceFlavorFields;

  @ApiProperty({ description: 'The first of key_names.' })
  keypair: NamedFields;

  @ApiProperty({ type: [String], description: 'An addition of Baton.' })
  key_names: string[];

  @ApiProperty({ type: [String] })
  labels: string[];

  @ApiProperty({ type: String, nullable: true })
  fixed_ip: string | null;

  @ApiProperty({ type: String, nullable: true })
  floating_ip: string | null;

  @ApiProperty({ enum: ['NO FLOATING IP', 'ATTACHING', 'ATTACHED', 'DETACHING'] })
  floating_ip_status: string;

  @ApiProperty()
  requires_public_ip: boolean;

  @ApiProperty()
  port_randomization: boolean;

  @ApiProperty({ enum: ['NO_FLOATING_IP', 'DISABLED'] })
  port_randomization_status: string;

  @ApiProperty({ type: [SecurityGroupRuleFields], description: 'Its own; those of its firewalls hold too. Empty while CREATING.' })
  security_rules: SecurityGroupRuleFields[];

  @ApiProperty({ type: [AttachmentOfVm], description: 'Those that have not ended.' })
  volume_attachments: AttachmentOfVm[];

  @ApiProperty()
  features: GreenFeatures;

  @ApiProperty({ type: String, nullable: true })
  callback_url: string | null;

  @ApiProperty({ type: 'integer', nullable: true })
  contract_id: number | null;

  @ApiProperty({ type: 'integer', nullable: true })
  cluster_id: number | null;

  @ApiProperty()
  locked: boolean;

  @ApiProperty()
  is_snapshotting: boolean;

  @ApiProperty({ description: 'UTC.', example: '2026-01-31T12:00:00' })
  created_at: string;

  @ApiProperty({ description: "Also the domain's UUID on its node. An addition of Baton." })
  uuid: string;

  @ApiProperty({ type: String, nullable: true, description: 'Why the VM is in ERROR. An addition of Baton.' })
  fault: string | null;

  @ApiProperty({ type: String, nullable: true, description: 'When the guest phoned home. An addition of Baton.' })
  reachable_at: string | null;

  @ApiProperty({ type: [String], description: 'What can be done now. An addition of Baton.' })
  allowed_actions: VmAction[];
}

export class CreateInstancesResponse extends Envelope {
  @ApiProperty({ type: [InstanceFields] })
  instances: InstanceFields[];
}

export class InstanceResponse extends Envelope {
  @ApiProperty()
  instance: InstanceFields;
}

export class InstancesResponse extends PagedEnvelope {
  @ApiProperty({ type: [InstanceFields] })
  instances: InstanceFields[];
}

export class AffectedInstance {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  name: string;

  @ApiProperty({ description: 'Whether the action was taken.' })
  accepted: boolean;

  @ApiProperty({ description: 'Why not, where it was not.' })
  message: string;
}

/** What an action by label did, VM by VM. */
export class LabelActionResponse extends Envelope {
  @ApiProperty({ type: [AffectedInstance] })
  instances: AffectedInstance[];
}

export class InstanceEventsFields {
  @ApiProperty({ type: 'integer' })
  instance_id: number;

  @ApiProperty({ type: 'integer', nullable: true, description: 'Null when the cloud itself did it.' })
  user_id: number | null;

  @ApiProperty({ type: 'integer' })
  org_id: number;

  @ApiProperty({ description: 'UTC.' })
  time: string;

  @ApiProperty({ enum: ['normal', 'warning'] })
  type: string;

  @ApiProperty({ example: 'InstanceCreationSuccess' })
  reason: string;

  @ApiProperty({ description: "The virtual machine's name." })
  object: string;

  @ApiProperty()
  message: string;
}

export class InstanceEventsResponse extends Envelope {
  @ApiProperty({ type: [InstanceEventsFields] })
  instance_events: InstanceEventsFields[];
}
