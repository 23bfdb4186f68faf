/**
 * Which permission each endpoint asks for. Default is deny: a route behind an API key that has no row here is refused,
 * and `test/access.test.ts` walks the OpenAPI document so that none is forgotten.
 *
 * Parameters of a path are written `{}`: what they are called makes no difference. `self` is what every key may do
 * about its own user.
 */
import { ApiError } from '../http/api-error.js';
import type { Permission } from './permissions.js';

type Requirement = Permission | 'self';

const VM = '/v1/core/virtual-machines';
const BY_ID = `${VM}/{}`;
const BY_NAME = `${VM}/{}/{}`;
const BY_LABEL = `${VM}/{}/labels/{}`;

type Row = readonly [method: string, path: string, requirement: Requirement];
type Form = typeof BY_ID | typeof BY_NAME | typeof BY_LABEL;

/** What can be done to a VM in several forms of its path asks for one permission. */
const rows = (forms: readonly Form[], method: string, action: string, requirement: Requirement): Row[] =>
  forms.map((form): Row => [method, `${form}${action}`, requirement]);

const EVERY_FORM: readonly Form[] = [BY_ID, BY_NAME, BY_LABEL];
const ONE: readonly Form[] = [BY_ID, BY_NAME];

/** The same under both. */
const GITOPS = ['/gitops', '/v1/gitops'] as const;

export const ENDPOINTS: readonly Row[] = [
  ['GET', '/v1/api-key', 'self'],
  ['POST', '/v1/api-key/generate', 'self'],
  ['PUT', '/v1/api-key/{}', 'self'],
  ['DELETE', '/v1/api-key/{}', 'self'],
  ['GET', '/v1/auth/me', 'self'],
  ['GET', '/v1/auth/me/organizations', 'self'],
  ['GET', '/v1/auth/me/mfa', 'self'],
  ['POST', '/v1/auth/me/mfa/disable', 'self'],
  ['GET', '/v1/auth/token/change-org/{}', 'self'],
  ['GET', '/v1/auth/users/me/permissions', 'self'],
  // Whom an invite is for is decided by its address, not by what the caller may do elsewhere.
  ['GET', '/v1/auth/invites/{}/accept', 'self'],

  ['GET', '/v1/auth/organizations', 'organization:read'],
  ['PUT', '/v1/auth/organizations/update', 'organization:update'],
  ['POST', '/v1/auth/organizations/remove-member', 'member:remove'],
  ['PUT', '/v1/auth/users/{}/assign-roles', 'member:assign-role'],
  ['DELETE', '/v1/auth/users/{}/roles', 'member:assign-role'],
  ['GET', '/v1/auth/users/{}/permissions', 'organization:read'],
  ['GET', '/v1/auth/invites', 'invite:read'],
  ['POST', '/v1/auth/invites', 'invite:create'],
  ['DELETE', '/v1/auth/invites/{}', 'invite:delete'],
  ['GET', '/v1/auth/permissions', 'role:read'],
  ['GET', '/v1/auth/policies', 'role:read'],
  ['GET', '/v1/auth/roles', 'role:read'],
  ['POST', '/v1/auth/roles', 'role:create'],
  ['GET', '/v1/auth/roles/{}', 'role:read'],
  ['PUT', '/v1/auth/roles/{}', 'role:update'],
  ['DELETE', '/v1/auth/roles/{}', 'role:delete'],

  ['GET', '/v1/core/clusters/{}', 'environment:read'],

  ['GET', '/v1/core/regions', 'catalog:read'],
  ['GET', '/v1/core/flavors', 'catalog:read'],
  ['GET', '/v1/core/gpus', 'catalog:read'],
  ['GET', '/v1/core/stocks', 'catalog:read'],
  ['GET', '/v1/core/user/resources/defaults', 'catalog:read'],
  ['GET', '/v1/core/dashboard', 'organization:read'],

  ['GET', '/v1/core/images', 'image:read'],
  ['GET', '/v1/core/image/name-availability/{}', 'image:read'],
  ['GET', '/v1/core/images/{}', 'image:read'],
  ['POST', '/v1/core/images', 'image:create'],
  ['PUT', '/v1/core/images/{}/file', 'image:create'],
  ['DELETE', '/v1/core/images/{}', 'image:delete'],

  ['GET', '/v1/core/environments', 'environment:read'],
  ['POST', '/v1/core/environments', 'environment:create'],
  ['GET', '/v1/core/environments/name-availability/{}', 'environment:read'],
  ['GET', '/v1/core/environments/{}', 'environment:read'],
  ['GET', '/v1/core/environments/{}/vm-quota', 'environment:read'],
  ['GET', '/v1/core/environments/{}/quota', 'environment:read'],
  ['PUT', '/v1/core/environments/{}/quota', 'environment:set-quota'],
  ['PUT', '/v1/core/environments/{}', 'environment:update'],
  ['DELETE', '/v1/core/environments/{}', 'environment:delete'],

  ['GET', '/v1/core/keypairs', 'keypair:read'],
  ['GET', '/v1/core/supported-keypairs', 'keypair:read'],
  ['POST', '/v1/core/keypairs', 'keypair:create'],
  ['PUT', '/v1/core/keypair/{}', 'keypair:update'],
  ['DELETE', '/v1/core/keypair/{}', 'keypair:delete'],

  ['GET', VM, 'virtual-machine:read'],
  ['POST', VM, 'virtual-machine:create'],
  ['GET', `${VM}/name-availability/{}`, 'virtual-machine:read'],
  ...rows(EVERY_FORM, 'GET', '', 'virtual-machine:read'),
  ...rows(EVERY_FORM, 'DELETE', '', 'virtual-machine:delete'),
  ['GET', `${BY_ID}/events`, 'virtual-machine:read'],
  ['PUT', `${BY_ID}/label`, 'virtual-machine:update'],
  // GET, because Infrahub's clients send GET; what they do is no reading.
  ...rows(EVERY_FORM, 'GET', '/start', 'virtual-machine:operate'),
  ...rows(EVERY_FORM, 'GET', '/stop', 'virtual-machine:operate'),
  ...rows(EVERY_FORM, 'GET', '/hard-reboot', 'virtual-machine:operate'),
  ...rows(EVERY_FORM, 'GET', '/hibernate', 'virtual-machine:operate'),
  ...rows(EVERY_FORM, 'GET', '/hibernate-restore', 'virtual-machine:operate'),
  ...rows(ONE, 'POST', '/resize', 'virtual-machine:resize'),
  ...rows(ONE, 'GET', '/request-console', 'virtual-machine:console'),
  ...rows(ONE, 'GET', '/console/{}', 'virtual-machine:console'),
  ...rows(ONE, 'GET', '/metrics', 'virtual-machine:read'),
  ['GET', `${BY_ID}/logs`, 'virtual-machine:read'],
  ['POST', `${BY_ID}/logs`, 'virtual-machine:read'],
  ...rows(ONE, 'POST', '/attach-callback', 'virtual-machine:update'),
  ...rows(ONE, 'PUT', '/update-callback', 'virtual-machine:update'),
  ...rows(ONE, 'DELETE', '/delete-callback', 'virtual-machine:update'),
  ['POST', `${BY_ID}/attach-floatingip`, 'floating-ip:attach'],
  ['POST', `${BY_ID}/detach-floatingip`, 'floating-ip:attach'],
  ...rows(EVERY_FORM, 'POST', '/attach-volumes', 'volume:attach'),
  ...rows(EVERY_FORM, 'POST', '/detach-volumes', 'volume:attach'),
  ['POST', `${BY_ID}/attach-firewalls`, 'firewall:attach'],
  ['POST', `${BY_ID}/sg-rules`, 'firewall:attach'],
  ['DELETE', `${BY_ID}/sg-rules/{}`, 'firewall:attach'],

  ['GET', `${BY_ID}/callback-deliveries`, 'callback:read'],
  ['GET', '/v1/core/volumes/{}/callback-deliveries', 'callback:read'],
  ['POST', '/v1/core/callbacks/deliveries/{}/replay', 'callback:replay'],
  ['GET', '/v1/core/callbacks/signing-secrets', 'signing-secret:read'],
  ['POST', '/v1/core/callbacks/signing-secrets/rotate', 'signing-secret:rotate'],

  ['GET', '/v1/core/volume-types', 'volume:read'],
  ['GET', '/v1/core/volumes', 'volume:read'],
  ['GET', '/v1/core/volume/name-availability/{}', 'volume:read'],
  ['GET', '/v1/core/volumes/{}', 'volume:read'],
  ['POST', '/v1/core/volumes', 'volume:create'],
  ['PATCH', '/v1/core/volumes/{}', 'volume:update'],
  ['PUT', '/v1/core/volumes/{}', 'volume:update'],
  ['DELETE', '/v1/core/volumes/{}', 'volume:delete'],
  ['POST', '/v1/core/volumes/{}/attach-callback', 'volume:update'],
  ['PUT', '/v1/core/volumes/{}/update-callback', 'volume:update'],
  ['DELETE', '/v1/core/volumes/{}/delete-callback', 'volume:update'],
  ['PATCH', '/v1/core/volume-attachments/{}', 'volume:attach'],

  ['GET', '/v1/core/snapshots', 'snapshot:read'],
  ['GET', '/v1/core/snapshots/name-availability/{}', 'snapshot:read'],
  ['GET', '/v1/core/snapshots/{}', 'snapshot:read'],
  ['GET', '/v1/core/snapshots/{}/events', 'snapshot:read'],
  ...rows(EVERY_FORM, 'POST', '/snapshots', 'snapshot:create'),
  ['POST', '/v1/core/snapshots/{}/restore', 'snapshot:restore'],
  ['POST', '/v1/core/snapshots/{}/image', 'image:create'],
  ['DELETE', '/v1/core/snapshots/{}', 'snapshot:delete'],

  ['GET', '/v1/core/firewalls', 'firewall:read'],
  ['GET', '/v1/core/sg-rules-protocols', 'firewall:read'],
  ['GET', '/v1/core/firewalls/{}', 'firewall:read'],
  ['POST', '/v1/core/firewalls', 'firewall:create'],
  ['DELETE', '/v1/core/firewalls/{}', 'firewall:delete'],
  ['POST', '/v1/core/firewalls/{}/firewall-rules', 'firewall:update'],
  ['DELETE', '/v1/core/firewalls/{}/firewall-rules/{}', 'firewall:update'],
  ['POST', '/v1/core/firewalls/{}/update-attachments', 'firewall:attach'],

  ['GET', '/v1/core/profiles', 'profile:read'],
  ['GET', '/v1/core/profiles/{}', 'profile:read'],
  ['POST', '/v1/core/profiles', 'profile:create'],
  ['DELETE', '/v1/core/profiles/{}', 'profile:delete'],

  ...GITOPS.flatMap((root): Row[] => [
    ['POST', `${root}/apply`, 'gitops:apply'],
    ['GET', `${root}/git-repo`, 'gitops:read'],
    ['POST', `${root}/git-repo`, 'gitops:create'],
    ['GET', `${root}/git-repo/{}`, 'gitops:read'],
    ['PUT', `${root}/git-repo/{}`, 'gitops:update'],
    ['DELETE', `${root}/git-repo/{}`, 'gitops:delete'],
    ['GET', `${root}/git-repo/{}/plan`, 'gitops:read'],
    ['GET', `${root}/git-repo/{}/syncs`, 'gitops:read'],
    ['GET', `${root}/git-repo/{}/resources`, 'gitops:read'],
    ['POST', `${root}/git-repo/{}/sync`, 'gitops:sync'],
    ['POST', `${root}/git-repo/{}/pause`, 'gitops:sync'],
    ['POST', `${root}/git-repo/{}/resume`, 'gitops:sync'],
    ['POST', `${root}/git-repo/{}/rollback`, 'gitops:sync'],
  ]),

  ['GET', '/v1/pricebook', 'catalog:read'],
  ['GET', '/v1/pricebook/calculate/resource/{}/{}', 'billing:read'],
  ['GET', '/v1/usage', 'billing:read'],
  ['GET', '/v1/audit', 'audit:read'],
  ['GET', '/v1/billing/billing/usage', 'billing:read'],
  ['GET', '/v1/billing/billing/last-day-cost', 'billing:read'],
  ['GET', '/v1/billing/billing/history', 'billing:read'],
  ['GET', '/v1/billing/billing/history/virtual-machine', 'billing:read'],
  ['GET', '/v1/billing/billing/history/virtual-machine/{}', 'billing:read'],
  ['GET', '/v1/billing/billing/history/virtual-machine/{}/graph', 'billing:read'],
  ['GET', '/v1/billing/billing/virtual-machine/{}/billing-events', 'billing:read'],
  ['GET', '/v1/billing/billing/history/volume', 'billing:read'],
  ['GET', '/v1/billing/billing/history/volume/{}', 'billing:read'],
  ['GET', '/v1/billing/billing/history/volume/{}/graph', 'billing:read'],
  ['GET', '/v1/billing/billing/volume/{}/billing-events', 'billing:read'],
];

/** Said to be missing with status 501, to everybody who has a key. */
const NOT_OFFERED = [
  '/v1/auth/beta-access',
  '/v1/auth/email',
  '/v1/auth/partner-config',
  '/v1/auth/user-consent',
  '/v1/auth/user-consent-events',
  '/v1/billing',
  '/v1/payment',
  '/v1/core/clusters',
  '/v1/core/compliance',
  '/v1/core/contracts',
  '/v1/core/fip-detachment-exclusions',
  '/v1/core/marketplace',
  '/v1/object-storage',
  '/v1/pricebook/contracts',
]
  .flatMap((path) => [path, `${path}/*`])
  .concat('/v1/core/virtual-machines/contract/:contract_id/virtual-machines', '/v1/core/virtual-machines/:vm_id/enhanced-metrics');

/** `GET /v1/core/images/:id(^\d+$)` and `GET /v1/core/images/{id}` are both `GET /v1/core/images/{}`. */
export const endpointKey = (method: string, path: string): string =>
  `${method.toUpperCase().replace('HEAD', 'GET')} ${path.replace(/:\w+(\([^)]*\))?|\{\w*\}/g, '{}')}`;

const REQUIREMENTS: ReadonlyMap<string, Requirement> = new Map(
  ENDPOINTS.map(([method, path, requirement]) => [endpointKey(method, path), requirement]),
);

export const requirementOf = (method: string, path: string): Requirement | undefined =>
  NOT_OFFERED.includes(path) ? 'self' : REQUIREMENTS.get(endpointKey(method, path));

/**
 * @param path the route's, with its parameters.
 * @throws ApiError 403 that names the permission.
 */
export function authorize(method: string, path: string, permissions: ReadonlySet<Permission>): void {
  const requirement = requirementOf(method, path);
  if (requirement === 'self') return;
  if (requirement === undefined)
    throw new ApiError(403, `${endpointKey(method, path)} has no row in the table of permissions, so nobody may call it.`);
  if (!permissions.has(requirement))
    throw new ApiError(
      403,
      `This needs the permission ${requirement}, which your role in the organization does not have. Ask an owner of the organization for a role that has it.`,
    );
}
