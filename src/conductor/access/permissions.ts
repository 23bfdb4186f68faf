/**
 * What can be allowed: every permission, by its name `resource:action`, with the number by which roles name it in the
 * API. Declared here and not in the database, so that the code that asks for a permission and the list of permissions
 * cannot drift apart; roles store names. A number is never used again for something else.
 */
export const PERMISSIONS = {
  'virtual-machine:read': 1,
  'virtual-machine:create': 2,
  'virtual-machine:update': 3,
  'virtual-machine:operate': 4,
  'virtual-machine:resize': 5,
  'virtual-machine:delete': 6,
  'virtual-machine:console': 7,
  'environment:read': 10,
  'environment:create': 11,
  'environment:update': 12,
  'environment:delete': 13,
  'environment:set-quota': 14,
  'keypair:read': 20,
  'keypair:create': 21,
  'keypair:update': 22,
  'keypair:delete': 23,
  'catalog:read': 30,
  'image:read': 31,
  'image:create': 32,
  'image:delete': 33,
  'callback:read': 40,
  'callback:replay': 41,
  'signing-secret:read': 42,
  'signing-secret:rotate': 43,
  'volume:read': 50,
  'volume:create': 51,
  'volume:update': 52,
  'volume:delete': 53,
  'volume:attach': 54,
  'snapshot:read': 60,
  'snapshot:create': 61,
  'snapshot:restore': 62,
  'snapshot:delete': 63,
  'firewall:read': 70,
  'firewall:create': 71,
  'firewall:update': 72,
  'firewall:delete': 73,
  'firewall:attach': 74,
  'floating-ip:attach': 80,
  'profile:read': 90,
  'profile:create': 91,
  'profile:delete': 92,
  'organization:read': 100,
  'organization:update': 101,
  'member:remove': 110,
  'member:assign-role': 111,
  'invite:read': 120,
  'invite:create': 121,
  'invite:delete': 122,
  'role:read': 130,
  'role:create': 131,
  'role:update': 132,
  'role:delete': 133,
  'billing:read': 140,
  'audit:read': 150,
  'gitops:read': 240,
  'gitops:create': 241,
  'gitops:update': 242,
  'gitops:delete': 243,
  'gitops:sync': 244,
  'gitops:apply': 245,
} as const;

export type Permission = keyof typeof PERMISSIONS;

export const ALL_PERMISSIONS = Object.keys(PERMISSIONS) as Permission[];

export const resourceOf = (permission: Permission): string => permission.slice(0, permission.indexOf(':'));

const BY_ID: ReadonlyMap<number, Permission> = new Map(ALL_PERMISSIONS.map((name) => [PERMISSIONS[name], name]));

export const permissionById = (id: number): Permission | undefined => BY_ID.get(id);

/** False for what an older or newer release stored in a role: it allows nothing here. */
export const isPermission = (name: string): name is Permission => Object.hasOwn(PERMISSIONS, name);
