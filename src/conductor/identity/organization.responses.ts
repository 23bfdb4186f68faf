/** How organizations, members and invites look from outside, field for field as Infrahub's clients know them. */
import { ApiProperty } from '@nestjs/swagger';
import type { MemberRole } from '../access/granted.js';
import { apiTime, Envelope } from '../http/envelope.js';
import { ApiKeyFields } from './identity.responses.js';

export interface MemberRow {
  readonly id: number;
  readonly email: string;
  readonly username: string;
  readonly name: string;
  readonly role: MemberRole;
  readonly role_name: string | null;
  readonly joined_at: Date;
  readonly last_login: Date | null;
}

class RoleNameFields {
  @ApiProperty()
  name: string;
}

export class MemberFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty({ description: 'The id again, as an identity provider would write it.' })
  sub: string;

  @ApiProperty()
  email: string;

  @ApiProperty()
  username: string;

  @ApiProperty()
  name: string;

  @ApiProperty({ enum: ['owner', 'member'], description: 'An owner may do everything.' })
  role: MemberRole;

  @ApiProperty({ type: [RoleNameFields], description: 'Empty: an owner, or a member who may only read.' })
  rbac_roles: RoleNameFields[];

  @ApiProperty({ format: 'date-time' })
  joined_at: string;

  @ApiProperty({ type: String, format: 'date-time', nullable: true, description: 'When a key was last used here.' })
  last_login: string | null;

  constructor(row: MemberRow) {
    this.id = row.id;
    this.sub = String(row.id);
    this.email = row.email;
    this.username = row.username;
    this.name = row.name;
    this.role = row.role;
    this.rbac_roles = row.role_name === null ? [] : [{ name: row.role_name }];
    this.joined_at = apiTime(row.joined_at);
    this.last_login = row.last_login && apiTime(row.last_login);
  }
}

export interface OrganizationRow {
  readonly id: number;
  readonly name: string;
  readonly created_at: Date;
  /** Null for an organization other than the key's: a key tells nothing of what another one has. */
  readonly total_instances: number | null;
  readonly total_volumes: number | null;
}

export class OrganizationFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  name: string;

  @ApiProperty({ format: 'date-time' })
  created_at: string;

  @ApiProperty({ type: [MemberFields] })
  users: MemberFields[];

  @ApiProperty({ type: 'integer', nullable: true })
  total_instances: number | null;

  @ApiProperty({ type: 'integer', description: 'Always 0: Baton does not bill.' })
  credit: number = 0;

  @ApiProperty({ type: 'integer', description: 'Always 0: Baton does not bill.' })
  threshold: number = 0;

  @ApiProperty({ type: 'integer', nullable: true })
  total_volumes: number | null;

  @ApiProperty({ type: 'integer', description: 'Always 0: Baton has none.' })
  total_containers: number = 0;

  @ApiProperty({ type: 'integer', description: 'Always 0: Baton has none.' })
  total_clusters: number = 0;

  constructor(row: OrganizationRow, members: readonly MemberRow[]) {
    this.id = row.id;
    this.name = row.name;
    this.created_at = apiTime(row.created_at);
    this.users = members.map((member) => new MemberFields(member));
    this.total_instances = row.total_instances;
    this.total_volumes = row.total_volumes;
  }
}

export class OrganizationResponse extends Envelope {
  @ApiProperty()
  organization: OrganizationFields;

  constructor(organization: OrganizationFields) {
    super('Getting organization successful');
    this.organization = organization;
  }
}

/** Without the usual envelope, as Infrahub has it. */
export class UserOrganizationsResponse {
  @ApiProperty({ type: [OrganizationFields], description: 'Of others than the key’s, only your own membership is shown.' })
  organizations: OrganizationFields[];

  constructor(organizations: OrganizationFields[]) {
    this.organizations = organizations;
  }
}

export interface InviteRow {
  readonly id: number;
  readonly email: string;
  readonly status: string;
  readonly created_at: Date;
}

export class InviteFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  email: string;

  @ApiProperty({ enum: ['PENDING', 'ACCEPTED'] })
  status: string;

  @ApiProperty({ format: 'date-time' })
  created_at: string;

  constructor(row: InviteRow) {
    this.id = row.id;
    this.email = row.email;
    this.status = row.status;
    this.created_at = apiTime(row.created_at);
  }
}

export class InvitesResponse extends Envelope {
  @ApiProperty({ type: [InviteFields] })
  invites: InviteFields[];

  constructor(rows: readonly InviteRow[]) {
    super('Getting invites successful');
    this.invites = rows.map((row) => new InviteFields(row));
  }
}

export class InviteResponse extends Envelope {
  @ApiProperty()
  invite: InviteFields;

  constructor(row: InviteRow) {
    super('User invited successfully');
    this.invite = new InviteFields(row);
  }
}

export class InviteAcceptedResponse extends Envelope {
  @ApiProperty({ description: 'A key for the organization joined; shown in clear only now.' })
  api_key: ApiKeyFields;

  constructor(apiKey: ApiKeyFields) {
    super('Invite accepted successfully');
    this.api_key = apiKey;
  }
}
