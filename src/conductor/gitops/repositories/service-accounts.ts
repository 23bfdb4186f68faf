/**
 * Who acts for a repository: a member of the organization that has a role and no keys, so that what Git may do is what
 * that role allows, and can be changed or taken away like anybody's. Nobody gives it more than he has himself.
 */
import type { EntityManager } from 'typeorm';
import { randomUUID } from 'node:crypto';
import type { OrganizationId, UserId } from '../../../protocol/ids.js';
import { grantedBy, requireHeld, type Grants } from '../../access/granted.js';
import { notFound } from '../../http/api-error.js';
import type { KeyHolder } from '../../identity/principal.js';

/** What it takes to manage every kind that a manifest can declare, and nothing about members, roles or Git itself. */
const DEFAULT_ROLE = {
  name: 'GitOps',
  description: 'Made for the service accounts of Git repositories.',
  policies: ['VirtualMachineFullAccess', 'EnvironmentFullAccess', 'KeypairFullAccess', 'VolumeFullAccess', 'FirewallFullAccess', 'ProfileFullAccess'],
};

interface RoleRow extends Grants {
  readonly id: number;
}

export async function makeServiceAccount(transaction: EntityManager, caller: KeyHolder, repository: string, roleName: string | undefined): Promise<UserId> {
  const { organizationId } = caller;
  const role = await roleFor(transaction, caller, roleName);
  const address = `gitops-${randomUUID()}@service.invalid`;
  const [{ id }] = await transaction.query<[{ id: UserId }]>(
    'INSERT INTO user_account (email, username, name) VALUES ($1, $1, $2) RETURNING id',
    [address, `Git: ${repository}`],
  );
  await transaction.query(`INSERT INTO membership (organization_id, user_id, role, role_id) VALUES ($1, $2, 'member', $3)`, [organizationId, id, role.id]);
  return id;
}

/** Whoever decides what a repository says decides what its service account does, so that he has to hold all of it. */
export async function requireAccountHeld(transaction: EntityManager, caller: KeyHolder, userId: UserId): Promise<void> {
  const [role] = await transaction.query<Grants[]>(
    `SELECT r.permissions, r.policies FROM membership m JOIN role r ON r.id = m.role_id WHERE m.organization_id = $1 AND m.user_id = $2`,
    [caller.organizationId, userId],
  );
  if (role !== undefined) requireHeld(caller.granted, grantedBy(role));
}

export async function giveRole(transaction: EntityManager, caller: KeyHolder, userId: UserId, roleName: string): Promise<void> {
  const role = await roleFor(transaction, caller, roleName);
  await transaction.query('UPDATE membership SET role_id = $3 WHERE organization_id = $1 AND user_id = $2', [caller.organizationId, userId, role.id]);
}

/** What it made keeps its name; it can do nothing any more. */
export async function endServiceAccount(transaction: EntityManager, organizationId: OrganizationId, userId: UserId): Promise<void> {
  await transaction.query('DELETE FROM membership WHERE organization_id = $1 AND user_id = $2', [organizationId, userId]);
}

async function roleFor(transaction: EntityManager, caller: KeyHolder, name: string | undefined): Promise<RoleRow> {
  if (name === undefined)
    await transaction.query(
      `INSERT INTO role (organization_id, name, description, permissions, policies) VALUES ($1, $2, $3, '{}', $4) ON CONFLICT DO NOTHING`,
      [caller.organizationId, DEFAULT_ROLE.name, DEFAULT_ROLE.description, DEFAULT_ROLE.policies],
    );
  const wanted = name ?? DEFAULT_ROLE.name;
  const [role] = await transaction.query<RoleRow[]>(
    'SELECT id, permissions, policies FROM role WHERE organization_id = $1 AND name = $2',
    [caller.organizationId, wanted],
  );
  if (role === undefined) throw notFound(`The role ${JSON.stringify(wanted)}`);
  requireHeld(caller.granted, grantedBy(role));
  return role;
}
