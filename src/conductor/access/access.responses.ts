/** How permissions, policies and roles look from outside, field for field as Infrahub's clients know them. */
import { ApiProperty } from '@nestjs/swagger';
import { apiTime, Envelope } from '../http/envelope.js';
import { ENDPOINTS } from './endpoints.js';
import { isPermission, PERMISSIONS, resourceOf, type Permission } from './permissions.js';
import { policyByName, type Policy } from './policies.js';

/** Permissions and policies came with the release that introduced them. */
const INTRODUCED = apiTime(new Date('2025-11-29T00:00:00Z'));

export class GrantedPermissionFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty({ example: 'virtual-machine' })
  resource: string;

  @ApiProperty({ example: 'virtual-machine:create' })
  permission: string;

  constructor(permission: Permission) {
    this.id = PERMISSIONS[permission];
    this.resource = resourceOf(permission);
    this.permission = permission;
  }
}

export class PermissionFields extends GrantedPermissionFields {
  @ApiProperty({ description: 'Of an endpoint that asks for it; there may be more.', example: 'POST' })
  method: string;

  @ApiProperty({ example: '/v1/core/virtual-machines' })
  endpoint: string;

  @ApiProperty({ format: 'date-time' })
  created_at: string = INTRODUCED;

  constructor(permission: Permission) {
    super(permission);
    const [method, endpoint] = ENDPOINTS.find(([, , required]) => required === permission) ?? ['', ''];
    this.method = method;
    this.endpoint = endpoint;
  }
}

export class PermissionsResponse extends Envelope {
  @ApiProperty({ type: [PermissionFields] })
  permissions: PermissionFields[];

  constructor(permissions: readonly Permission[]) {
    super('Getting permissions successful');
    this.permissions = permissions.map((permission) => new PermissionFields(permission));
  }
}

export class UserPermissionsResponse extends Envelope {
  @ApiProperty({ type: [GrantedPermissionFields] })
  permissions: GrantedPermissionFields[];

  constructor(permissions: Iterable<Permission>) {
    super('Getting user permissions successful');
    this.permissions = [...permissions].map((permission) => new GrantedPermissionFields(permission));
  }
}

export class RolePolicyFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty({ example: 'ReadOnly' })
  name: string;

  @ApiProperty()
  description: string;

  constructor({ id, name, description }: Policy) {
    this.id = id;
    this.name = name;
    this.description = description;
  }
}

export class PolicyFields extends RolePolicyFields {
  @ApiProperty({ type: [GrantedPermissionFields] })
  permissions: GrantedPermissionFields[];

  @ApiProperty({ format: 'date-time' })
  created_at: string = INTRODUCED;

  constructor(policy: Policy) {
    super(policy);
    this.permissions = policy.permissions.map((permission) => new GrantedPermissionFields(permission));
  }
}

export class PoliciesResponse extends Envelope {
  @ApiProperty({ type: [PolicyFields] })
  policies: PolicyFields[];

  constructor(policies: readonly Policy[]) {
    super('Getting policies successful');
    this.policies = policies.map((policy) => new PolicyFields(policy));
  }
}

export interface RoleRow {
  readonly id: number;
  readonly name: string;
  readonly description: string;
  readonly permissions: readonly string[];
  readonly policies: readonly string[];
  readonly created_at: Date;
}

export class RoleFields {
  @ApiProperty({ type: 'integer' })
  id: number;

  @ApiProperty()
  name: string;

  @ApiProperty()
  description: string;

  @ApiProperty({ type: [RolePolicyFields] })
  policies: RolePolicyFields[];

  @ApiProperty({ type: [GrantedPermissionFields], description: 'Beside those that the policies have.' })
  permissions: GrantedPermissionFields[];

  @ApiProperty({ format: 'date-time' })
  created_at: string;

  constructor(row: RoleRow) {
    this.id = row.id;
    this.name = row.name;
    this.description = row.description;
    this.policies = row.policies.flatMap((name) => policyByName(name) ?? []).map((policy) => new RolePolicyFields(policy));
    this.permissions = row.permissions.filter(isPermission).map((name) => new GrantedPermissionFields(name));
    this.created_at = apiTime(row.created_at);
  }
}

export class RoleResponse extends Envelope {
  @ApiProperty()
  role: RoleFields;

  constructor(message: string, row: RoleRow) {
    super(message);
    this.role = new RoleFields(row);
  }
}

/** One role under the name of many: that is what Infrahub's clients read. */
export class RoleDetailsResponse extends Envelope {
  @ApiProperty()
  roles: RoleFields;

  constructor(row: RoleRow) {
    super('Getting role successful');
    this.roles = new RoleFields(row);
  }
}

export class RolesResponse extends Envelope {
  @ApiProperty({ type: [RoleFields] })
  roles: RoleFields[];

  constructor(rows: readonly RoleRow[]) {
    super('Getting roles successful');
    this.roles = rows.map((row) => new RoleFields(row));
  }
}
