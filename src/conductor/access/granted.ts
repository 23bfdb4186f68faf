/**
 * What a member may do, worked out from what the membership row says. An owner may do everything; a member with a role
 * what the role's permissions and policies say; a member without one may look and change nothing.
 *
 * Nobody hands out more than he has: `requireHeld` is asked before a role is made, changed or given.
 */
import { ApiError } from '../http/api-error.js';
import { ALL_PERMISSIONS, isPermission, type Permission } from './permissions.js';
import { policyByName, READING } from './policies.js';

export type MemberRole = 'owner' | 'member';

/** Names of permissions and policies, as a role stores them. */
export interface Grants {
  readonly permissions: readonly string[];
  readonly policies: readonly string[];
}

export type Granted = ReadonlySet<Permission>;

const EVERYTHING: Granted = new Set(ALL_PERMISSIONS);

export const LOOKING: Granted = new Set(READING);

export function grantedBy({ permissions, policies }: Grants): Granted {
  const included = policies.flatMap((name) => policyByName(name)?.permissions ?? []);
  return new Set([...permissions.filter(isPermission), ...included]);
}

export function grantedTo(member: MemberRole, role: Grants | null): Granted {
  if (member === 'owner') return EVERYTHING;
  return role === null ? LOOKING : grantedBy(role);
}

/** @throws ApiError 403 when the giver lacks something of what is given. */
export function requireHeld(giver: Granted, given: Granted): void {
  const missing = [...given].filter((permission) => !giver.has(permission));
  if (missing.length > 0)
    throw new ApiError(403, `You cannot give what you do not have: ${missing.join(', ')}. Ask an owner of the organization.`);
}
