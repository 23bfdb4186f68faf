/**
 * Built-in policies: named sets of permissions that roles are made of. They are computed from the permissions, so that
 * a new permission is in `FullAccess`, in its family's policy and, when it only reads, in `ReadOnly`, without anybody
 * remembering to put it there.
 */
import { ALL_PERMISSIONS, resourceOf, type Permission } from './permissions.js';

export interface Policy {
  readonly id: number;
  readonly name: string;
  readonly description: string;
  readonly permissions: readonly Permission[];
}

/** With the one webhooks could be forged; the other tells what everybody does, which is for owners. */
const SECRETS: ReadonlySet<Permission> = new Set(['signing-secret:read', 'audit:read']);

export const READING: readonly Permission[] = ALL_PERMISSIONS.filter(
  (permission) => permission.endsWith(':read') && !SECRETS.has(permission),
);

const of = (...resources: string[]): Permission[] =>
  ALL_PERMISSIONS.filter((permission) => resources.includes(resourceOf(permission)));

export const POLICIES: readonly Policy[] = [
  { id: 1, name: 'FullAccess', description: 'Everything that there is to be allowed.', permissions: ALL_PERMISSIONS },
  { id: 2, name: 'ReadOnly', description: 'Looks at everything but secrets, changes nothing.', permissions: READING },
  {
    id: 3,
    name: 'VirtualMachineFullAccess',
    description: 'Virtual machines, their addresses, and reading what they are made of.',
    permissions: [...of('virtual-machine', 'floating-ip', 'catalog'), 'environment:read', 'keypair:read', 'image:read'],
  },
  { id: 4, name: 'EnvironmentFullAccess', description: 'Environments.', permissions: of('environment') },
  { id: 5, name: 'KeypairFullAccess', description: 'SSH keypairs.', permissions: of('keypair') },
  { id: 6, name: 'ImageFullAccess', description: 'Images.', permissions: of('image') },
  {
    id: 7,
    name: 'CallbackFullAccess',
    description: 'Deliveries of webhooks, and the secrets that sign them.',
    permissions: of('callback', 'signing-secret'),
  },
  { id: 8, name: 'VolumeFullAccess', description: 'Volumes.', permissions: of('volume') },
  { id: 9, name: 'SnapshotFullAccess', description: 'Snapshots, and virtual machines and images made of them.', permissions: [...of('snapshot'), 'image:create'] },
  { id: 10, name: 'FirewallFullAccess', description: 'Firewalls and security rules.', permissions: of('firewall') },
  { id: 11, name: 'ProfileFullAccess', description: 'Profiles.', permissions: of('profile') },
  {
    id: 12,
    name: 'OrganizationFullAccess',
    description: 'The organization, its members, invites and roles.',
    permissions: of('organization', 'member', 'invite', 'role'),
  },
  { id: 13, name: 'BillingReadOnly', description: 'Usage, and what it costs.', permissions: of('billing') },
  { id: 24, name: 'GitopsFullAccess', description: 'Git repositories of desired state.', permissions: of('gitops') },
];

export const policyById = (id: number): Policy | undefined => POLICIES.find((policy) => policy.id === id);

export const policyByName = (name: string): Policy | undefined => POLICIES.find((policy) => policy.name === name);
