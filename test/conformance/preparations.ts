/**
 * For each operation of the reference that Baton has: what must be there before it, and the call itself. An operation
 * without a line here fails the conformance test as soon as Baton has it.
 */
import { IMAGE } from '../support/cloud.js';
import { Lab, publicKey, REGION } from './lab.js';

export interface Call {
  /** With every parameter filled in, below `/v1`. */
  readonly path: string;
  readonly body?: object;
  /** Whose key; without it, that of `demo`. */
  readonly key?: string;
  /** Fields that have nothing to say in this call. */
  readonly nullable?: readonly string[];
}

export type Preparation = (lab: Lab) => Call | Promise<Call>;

const UNPAGED = ['page', 'page_size'];
const VM = '/core/virtual-machines';
/** Of a VM that runs, and of one that was asked for a moment ago. */
const OF_VM = ['floating_ip', 'contract_id', 'callback_url'];
const OF_NEW_VM = [...OF_VM, 'fixed_ip', 'power_state', 'vm_state'];
const OF_VOLUME = ['callback_url', 'image_id'];
const RULE = { direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', remote_ip_prefix: '0.0.0.0/0', port_range_min: 22, port_range_max: 22 };
const CALLBACK = { url: 'https://example.org/hook' };

const at = (path: string, nullable: readonly string[] = []): Preparation => () => ({ path, nullable });
const onVm = (action: string, body?: object): Preparation => async (lab) => ({
  path: `${VM}/${(await lab.vm()).id}${action}`,
  ...(body && { body }),
});

export const PREPARATIONS: Readonly<Record<string, Preparation>> = {
  'GET /api-key': at('/api-key'),
  'POST /api-key/generate': (lab) => ({ path: '/api-key/generate', body: { name: lab.name(), description: 'd' } }),
  'PUT /api-key/{api_key_id}': async (lab) => {
    const { api_key } = await lab.call('POST', '/api-key/generate', { name: lab.name(), description: 'd' });
    return { path: `/api-key/${api_key.id}`, body: { name: lab.name(), description: 'd' } };
  },
  'DELETE /api-key/{api_key_id}': async (lab) => {
    const { api_key } = await lab.call('POST', '/api-key/generate', { name: lab.name(), description: 'd' });
    return { path: `/api-key/${api_key.id}` };
  },
  'GET /auth/me': at('/auth/me'),
  'GET /auth/me/organizations': at('/auth/me/organizations'),
  'GET /auth/me/mfa': at('/auth/me/mfa'),
  'POST /auth/me/mfa/disable': at('/auth/me/mfa/disable'),
  'GET /auth/token/change-org/{org_id}': async (lab) => {
    const { organization } = await lab.call('GET', '/auth/organizations');
    return { path: `/auth/token/change-org/${organization.id}` };
  },
  'GET /auth/organizations': at('/auth/organizations', ['last_login']),
  'PUT /auth/organizations/update': (lab) => ({ path: '/auth/organizations/update', body: { name: lab.name() } }),
  'GET /auth/permissions': at('/auth/permissions'),
  'GET /auth/policies': at('/auth/policies'),
  'GET /auth/users/me/permissions': at('/auth/users/me/permissions'),
  'GET /auth/users/{id}/permissions': async (lab) => ({ path: `/auth/users/${(await lab.member()).id}/permissions` }),
  'GET /auth/roles': async (lab) => (await lab.role(), { path: '/auth/roles' }),
  'POST /auth/roles': async (lab) => {
    const { permissions } = await lab.call('GET', '/auth/permissions');
    return { path: '/auth/roles', body: { name: lab.name(), description: 'd', permissions: [permissions[0].id], policies: [] } };
  },
  'GET /auth/roles/{id}': async (lab) => ({ path: `/auth/roles/${(await lab.role()).id}` }),
  'PUT /auth/roles/{id}': async (lab) => ({
    path: `/auth/roles/${(await lab.role()).id}`,
    body: { name: lab.name(), description: 'd', permissions: [], policies: [] },
  }),
  'DELETE /auth/roles/{id}': async (lab) => ({ path: `/auth/roles/${(await lab.role()).id}` }),
  'GET /auth/invites': async (lab) => (await lab.invite(), { path: '/auth/invites' }),
  'POST /auth/invites': (lab) => ({ path: '/auth/invites', body: { email: `${lab.name()}@example.org` } }),
  'GET /auth/invites/{id}/accept': async (lab) => {
    const { invite, key } = await lab.guest();
    return { path: `/auth/invites/${invite.id}/accept`, key };
  },
  'POST /auth/organizations/remove-member': async (lab) => ({
    path: '/auth/organizations/remove-member',
    body: { email: (await lab.member()).email },
  }),
  'PUT /auth/users/{user_id}/assign-roles': async (lab) => ({
    path: `/auth/users/${(await lab.member()).id}/assign-roles`,
    body: { role_id: (await lab.role()).id },
  }),
  'DELETE /auth/users/{user_id}/roles': async (lab) => {
    const { id } = await lab.member();
    await lab.call('PUT', `/auth/users/${id}/assign-roles`, { role_id: (await lab.role()).id });
    return { path: `/auth/users/${id}/roles` };
  },
  'DELETE /auth/invites/{id}': async (lab) => ({ path: `/auth/invites/${(await lab.invite()).id}` }),

  'GET /core/environments': at('/core/environments', UNPAGED),
  'POST /core/environments': (lab) => ({ path: '/core/environments', body: { name: lab.name(), region: REGION } }),
  'GET /core/environments/name-availability/{name}': at('/core/environments/name-availability/free'),
  'GET /core/environments/{id}': async (lab) => ({ path: `/core/environments/${(await lab.environment()).id}` }),
  'PUT /core/environments/{id}': async (lab) => ({
    path: `/core/environments/${(await lab.environment()).id}`,
    body: { name: lab.name() },
  }),
  'DELETE /core/environments/{id}': async (lab) => ({ path: `/core/environments/${(await lab.environment()).id}` }),
  'GET /core/environments/{id}/vm-quota': async (lab) => ({
    path: `/core/environments/${(await lab.environment()).id}/vm-quota`,
    nullable: ['cidr', 'max_vms', 'available_vms'],
  }),
  'GET /core/keypairs': at('/core/keypairs', UNPAGED),
  'POST /core/keypairs': (lab) => ({
    path: '/core/keypairs',
    body: { environment_name: lab.cloud.demo.name, name: lab.name(), public_key: publicKey() },
  }),
  'PUT /core/keypair/{id}': async (lab) => ({ path: `/core/keypair/${(await lab.keypair()).id}`, body: { name: lab.name() } }),
  'DELETE /core/keypair/{id}': async (lab) => ({ path: `/core/keypair/${(await lab.keypair()).id}` }),

  'GET /core/regions': at('/core/regions'),
  'GET /core/flavors': at('/core/flavors'),
  'GET /core/gpus': at('/core/gpus'),
  'GET /core/stocks': at('/core/stocks', ['planned_7_days', 'planned_30_days', 'planned_100_days']),
  'GET /core/dashboard': at('/core/dashboard'),
  'GET /core/user/resources/defaults': at('/core/user/resources/defaults'),
  'GET /core/images': at('/core/images', ['restriction_type']),
  'GET /core/images/{id}': async (lab) => ({ path: `/core/images/${await lab.image()}`, nullable: ['restriction_type'] }),
  'DELETE /core/images/{id}': async (lab) => ({ path: `/core/images/${await lab.image()}` }),
  'GET /core/image/name-availability/{name}': at('/core/image/name-availability/free'),
  'GET /core/profiles': async (lab) => (await lab.profile(), { path: '/core/profiles' }),
  'POST /core/profiles': (lab) => ({ path: '/core/profiles', body: { name: lab.name(), description: 'd', data: { count: '1' } } }),
  'GET /core/profiles/{id}': async (lab) => ({ path: `/core/profiles/${(await lab.profile()).id}` }),
  'DELETE /core/profiles/{id}': async (lab) => ({ path: `/core/profiles/${(await lab.profile()).id}` }),

  'GET /pricebook/calculate/resource/{resource_type}/{id}': async (lab) => ({
    path: `/pricebook/calculate/resource/vm/${(await lab.vm({ assign_floating_ip: true })).id}`,
    nullable: ['host'],
  }),
  'GET /pricebook': at('/pricebook', ['end_time']),
  'GET /billing/billing/usage': async (lab) => (await lab.vm(), { path: '/billing/billing/usage', nullable: ['terminate_time'] }),
  'GET /billing/billing/last-day-cost': at('/billing/billing/last-day-cost'),
  'GET /billing/billing/history': at('/billing/billing/history'),
  'GET /billing/billing/history/virtual-machine': async (lab) => (
    await lab.vm(), { path: '/billing/billing/history/virtual-machine', nullable: ['contract_id'] }
  ),
  'GET /billing/billing/history/virtual-machine/{vm_id}': async (lab) => ({
    path: `/billing/billing/history/virtual-machine/${(await lab.vm()).id}`,
  }),
  'GET /billing/billing/history/virtual-machine/{vm_id}/graph': async (lab) => ({
    path: `/billing/billing/history/virtual-machine/${(await lab.vm()).id}/graph`,
  }),
  'GET /billing/billing/virtual-machine/{vm_id}/billing-events': async (lab) => ({
    path: `/billing/billing/virtual-machine/${(await lab.vm()).id}/billing-events`,
  }),
  'GET /billing/billing/history/volume': async (lab) => (
    await lab.volume(), { path: '/billing/billing/history/volume', nullable: ['contract_id'] }
  ),
  'GET /billing/billing/history/volume/{volume_id}': async (lab) => ({
    path: `/billing/billing/history/volume/${(await lab.volume()).id}`,
  }),
  'GET /billing/billing/history/volume/{volume_id}/graph': async (lab) => ({
    path: `/billing/billing/history/volume/${(await lab.volume()).id}/graph`,
  }),
  'GET /billing/billing/volume/{volume_id}/billing-events': async (lab) => ({
    path: `/billing/billing/volume/${(await lab.volume()).id}/billing-events`,
  }),

  'GET /core/virtual-machines': async (lab) => (await lab.vm(), { path: VM, nullable: [...UNPAGED, ...OF_VM] }),
  'POST /core/virtual-machines': (lab) => ({
    path: VM,
    body: {
      name: lab.name(),
      environment_name: lab.cloud.demo.name,
      flavor_name: 'tiny-1',
      image_name: IMAGE,
      key_name: lab.cloud.demo.name,
      count: 1,
    },
    nullable: OF_NEW_VM,
  }),
  'GET /core/virtual-machines/name-availability/{name}': at(`${VM}/name-availability/free`),
  'GET /core/virtual-machines/{vm_id}': async (lab) => ({ path: `${VM}/${(await lab.vm()).id}`, nullable: OF_VM }),
  'DELETE /core/virtual-machines/{vm_id}': onVm(''),
  'PUT /core/virtual-machines/{vm_id}/label': onVm('/label', { labels: ['a', 'b'] }),
  'GET /core/virtual-machines/{vm_id}/events': async (lab) => ({ path: `${VM}/${(await lab.vm()).id}/events`, nullable: ['user_id'] }),
  'GET /core/virtual-machines/{vm_id}/start': async (lab) => ({ path: `${VM}/${(await lab.stoppedVm()).id}/start` }),
  'GET /core/virtual-machines/{vm_id}/stop': onVm('/stop'),
  'GET /core/virtual-machines/{vm_id}/hard-reboot': onVm('/hard-reboot'),
  'GET /core/virtual-machines/{vm_id}/hibernate': onVm('/hibernate'),
  'GET /core/virtual-machines/{vm_id}/hibernate-restore': async (lab) => ({
    path: `${VM}/${(await lab.hibernatedVm()).id}/hibernate-restore`,
  }),
  'POST /core/virtual-machines/{vm_id}/resize': async (lab) => ({
    path: `${VM}/${(await lab.vm()).id}/resize`,
    body: { flavor_name: 'small-1' },
  }),
  'POST /core/virtual-machines/{vm_id}/logs': onVm('/logs', { length: 10 }),
  'GET /core/virtual-machines/{vm_id}/logs': async (lab) => {
    const { id } = await lab.vm();
    const { request_id } = await lab.call('POST', `${VM}/${id}/logs`, {});
    return { path: `${VM}/${id}/logs?request_id=${request_id}`, nullable: ['logs'] };
  },
  'GET /core/virtual-machines/{vm_id}/metrics': onVm('/metrics?duration=1h'),
  'GET /core/virtual-machines/{vm_id}/request-console': onVm('/request-console'),
  'GET /core/virtual-machines/{vm_id}/console/{job_id}': async (lab) => {
    const { url } = await lab.call('GET', `${VM}/${(await lab.vm()).id}/request-console`);
    return { path: url };
  },
  'POST /core/virtual-machines/{vm_id}/attach-callback': onVm('/attach-callback', CALLBACK),
  'PUT /core/virtual-machines/{vm_id}/update-callback': async (lab) => {
    const { id } = await lab.vm();
    await lab.call('POST', `${VM}/${id}/attach-callback`, CALLBACK);
    return { path: `${VM}/${id}/update-callback`, body: CALLBACK };
  },
  'DELETE /core/virtual-machines/{vm_id}/delete-callback': async (lab) => {
    const { id } = await lab.vm();
    await lab.call('POST', `${VM}/${id}/attach-callback`, CALLBACK);
    return { path: `${VM}/${id}/delete-callback` };
  },
  'POST /core/virtual-machines/{vm_id}/attach-floatingip': onVm('/attach-floatingip', {}),
  'POST /core/virtual-machines/{vm_id}/detach-floatingip': async (lab) => ({
    path: `${VM}/${(await lab.vm({ assign_floating_ip: true })).id}/detach-floatingip`,
    body: {},
  }),

  'GET /core/sg-rules-protocols': at('/core/sg-rules-protocols'),
  'POST /core/virtual-machines/{vm_id}/sg-rules': onVm('/sg-rules', RULE),
  'DELETE /core/virtual-machines/{vm_id}/sg-rules/{sg_rule_id}': async (lab) => {
    const { id } = await lab.vm();
    const { security_rule } = await lab.call('POST', `${VM}/${id}/sg-rules`, RULE);
    return { path: `${VM}/${id}/sg-rules/${security_rule.id}` };
  },
  'GET /core/firewalls': async (lab) => (await lab.firewall(), { path: '/core/firewalls', nullable: UNPAGED }),
  'POST /core/firewalls': async (lab) => ({
    path: '/core/firewalls',
    body: { name: lab.name(), description: 'd', environment_id: (await lab.environment()).id },
  }),
  'GET /core/firewalls/{id}': async (lab) => ({ path: `/core/firewalls/${(await lab.firewall()).id}` }),
  'DELETE /core/firewalls/{id}': async (lab) => ({ path: `/core/firewalls/${(await lab.firewall()).id}` }),
  'POST /core/firewalls/{firewall_id}/firewall-rules': async (lab) => ({
    path: `/core/firewalls/${(await lab.firewall()).id}/firewall-rules`,
    body: RULE,
  }),
  'DELETE /core/firewalls/{firewall_id}/firewall-rules/{firewall_rule_id}': async (lab) => {
    const { id } = await lab.firewall();
    const { firewall_rule } = await lab.call('POST', `/core/firewalls/${id}/firewall-rules`, RULE);
    return { path: `/core/firewalls/${id}/firewall-rules/${firewall_rule.id}` };
  },
  'POST /core/firewalls/{firewall_id}/update-attachments': async (lab) => ({
    path: `/core/firewalls/${(await lab.firewall()).id}/update-attachments`,
    body: { vms: [(await lab.vm()).id] },
  }),
  'POST /core/virtual-machines/{vm_id}/attach-firewalls': async (lab) => ({
    path: `${VM}/${(await lab.vm()).id}/attach-firewalls`,
    body: { firewalls: [(await lab.firewall()).id] },
  }),

  'GET /core/volume-types': at('/core/volume-types'),
  'GET /core/volume/name-availability/{name}': at('/core/volume/name-availability/free'),
  'GET /core/volumes': async (lab) => (await lab.volume(), { path: '/core/volumes', nullable: [...UNPAGED, ...OF_VOLUME] }),
  'POST /core/volumes': (lab) => ({
    path: '/core/volumes',
    body: { name: lab.name(), description: 'd', environment_name: lab.cloud.demo.name, size: 1, volume_type: 'Cloud-SSD' },
    nullable: OF_VOLUME,
  }),
  'GET /core/volumes/{volume_id}': async (lab) => ({
    path: `/core/volumes/${(await lab.attached()).volume.id}`,
    nullable: OF_VOLUME,
  }),
  'PATCH /core/volumes/{volume_id}': async (lab) => ({
    path: `/core/volumes/${(await lab.volume()).id}`,
    body: { environment_name: (await lab.environment()).name },
    nullable: OF_VOLUME,
  }),
  'DELETE /core/volumes/{volume_id}': async (lab) => ({ path: `/core/volumes/${(await lab.volume()).id}` }),
  'POST /core/virtual-machines/{vm_id}/attach-volumes': async (lab) => ({
    path: `${VM}/${(await lab.vm()).id}/attach-volumes`,
    body: { volume_ids: [(await lab.volume()).id] },
    nullable: OF_VOLUME,
  }),
  'POST /core/virtual-machines/{vm_id}/detach-volumes': async (lab) => {
    const { vm, volume } = await lab.attached();
    return { path: `${VM}/${vm.id}/detach-volumes`, body: { volume_ids: [volume.id] }, nullable: OF_VOLUME };
  },
  'PATCH /core/volume-attachments/{volume_attachment_id}': async (lab) => {
    const { volume } = await lab.attached();
    return { path: `/core/volume-attachments/${volume.attachments[0].id}`, body: { protected: true }, nullable: OF_VOLUME };
  },
  'POST /core/virtual-machines/{vm_id}/snapshots': async (lab) => ({
    path: `${VM}/${(await lab.vm()).id}/snapshots`,
    body: { name: lab.name(), description: 'd', labels: ['a'] },
  }),
  'GET /core/clusters/{id}': async (lab) => {
    const { environment } = await lab.vm({ labels: ['kubernetes'] });
    return {
      path: `/core/clusters/${environment.id}`,
      nullable: ['api_address', 'kube_config', 'kubernetes_version', 'keypair_name', 'master_flavor', 'status_reason'],
    };
  },
  'GET /core/snapshots': async (lab) => (await lab.snapshot(), { path: '/core/snapshots', nullable: UNPAGED }),
  'GET /core/snapshots/name-availability/{name}': at('/core/snapshots/name-availability/free'),
  'GET /core/snapshots/{id}': async (lab) => ({
    path: `/core/snapshots/${(await lab.snapshot()).id}`,
    nullable: ['custom_image', 'volume_id', 'volume_name'],
  }),
  'GET /core/snapshots/{snapshot_id}/events': async (lab) => ({ path: `/core/snapshots/${(await lab.snapshot()).id}/events` }),
  'POST /core/snapshots/{id}/restore': async (lab) => ({
    path: `/core/snapshots/${(await lab.snapshot()).id}/restore`,
    body: { new_vm_name: lab.name() },
    nullable: OF_NEW_VM,
  }),
  'POST /core/snapshots/{snapshot_id}/image': async (lab) => ({
    path: `/core/snapshots/${(await lab.snapshot()).id}/image`,
    body: { name: lab.name(), labels: ['a'] },
  }),
  'DELETE /core/snapshots/{id}': async (lab) => ({ path: `/core/snapshots/${(await lab.snapshot()).id}` }),
  'POST /core/volumes/{volume_id}/attach-callback': async (lab) => ({
    path: `/core/volumes/${(await lab.volume()).id}/attach-callback`,
    body: CALLBACK,
  }),
  'PUT /core/volumes/{volume_id}/update-callback': async (lab) => ({
    path: `/core/volumes/${(await lab.volume({ callback_url: CALLBACK.url })).id}/update-callback`,
    body: CALLBACK,
  }),
  'DELETE /core/volumes/{volume_id}/delete-callback': async (lab) => ({
    path: `/core/volumes/${(await lab.volume({ callback_url: CALLBACK.url })).id}/delete-callback`,
  }),
};
