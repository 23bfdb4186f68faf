import { describe, expect, it } from '@jest/globals';
import type { EnvironmentId, OrganizationId, VmId, VmUuid } from '../../protocol/ids.js';
import { renderVm, type VmRow } from './vm-view.js';

const ROW: VmRow = {
  id: 7 as VmId,
  uuid: '4c6f1f7e-52a3-4b0c-8d0e-1f2a3b4c5d6e' as VmUuid,
  organization_id: 3 as OrganizationId,
  name: 'web-1',
  status: 'CREATING',
  observed: 'nothing',
  placed: true,
  node_down: false,
  fault: null,
  fixed_ip: null,
  floating_ip: null,
  floating_ip_change: null,
  security_rules: [],
  callback_url: null,
  port_randomization: true,
  created_at: new Date('2026-01-31T12:00:00.987Z'),
  reachable_at: null,
  environment: { id: 2 as EnvironmentId, name: 'prod', region: 'default-1', green_status: 'GREEN' },
  flavor: { id: 4, name: 'tiny-1', cpu: 1, ram_mib: 256, disk: 1, gpu: '', gpu_count: 0 },
  image_name: 'debian',
  key_names: ['first', 'second'],
  volume_attachments: [],
  is_snapshotting: false,
  labels: ['a'],
};

describe('a VM as the API shows it', () => {
  it('has everything that clients dereference without a look, from its first moment on', () => {
    const vm = renderVm(ROW);
    expect(vm).toMatchObject({
      id: 7,
      keypair: { name: 'first' },
      environment: { id: 2, name: 'prod', org_id: 3, region: 'default-1', features: { green_status: 'GREEN' } },
      image: { name: 'debian' },
      flavor: { id: 4, name: 'tiny-1', cpu: 1, ram: 0.25, disk: 1, ephemeral: 0, gpu: '', gpu_count: 0, labels: [] },
      volume_attachments: [],
      security_rules: [],
      labels: ['a'],
      locked: false,
    });
    for (const flag of Object.values(vm.flavor.features)) expect(typeof flag).toBe('boolean');
  });

  it('writes times in UTC to the second and without a zone', () => {
    expect(renderVm(ROW).created_at).toBe('2026-01-31T12:00:00');
    expect(renderVm({ ...ROW, reachable_at: new Date('2026-01-31T12:01:00Z') }).reachable_at).toBe('2026-01-31T12:01:00');
  });

  it('says of the floating IP that there is none, that it is coming, or that it is there', () => {
    expect(renderVm(ROW)).toMatchObject({
      floating_ip_status: 'NO FLOATING IP',
      port_randomization_status: 'NO_FLOATING_IP',
      requires_public_ip: false,
    });
    const withAddress = { ...ROW, floating_ip: '198.51.100.7' };
    expect(renderVm(withAddress)).toMatchObject({ floating_ip_status: 'ATTACHING', requires_public_ip: true });
    for (const status of ['ACTIVE', 'SHUTOFF'] as const)
      expect(renderVm({ ...withAddress, status }).floating_ip_status).toBe('ATTACHED');
  });

  it('says how far a floating IP is that comes or goes while it lives', () => {
    const active = { ...ROW, status: 'ACTIVE', floating_ip: '198.51.100.7' } as const;
    expect(renderVm({ ...active, floating_ip_change: 'ATTACHING' }).floating_ip_status).toBe('ATTACHING');
    expect(renderVm({ ...active, floating_ip_change: 'DETACHING' }).floating_ip_status).toBe('DETACHING');
  });

  it('shows its security rules from when it is being built', () => {
    const rule = { id: 9, direction: 'ingress', protocol: 'tcp', ethertype: 'IPv4', remote_ip_prefix: '0.0.0.0/0' };
    const row = { ...rule, port_range_min: 22, port_range_max: 22, created_at: '2026-01-31T12:00:00.987+00:00' };
    const security_rules = [{ ...row, confirmed: true }, { ...row, id: 10, confirmed: false }];
    expect(renderVm({ ...ROW, security_rules }).security_rules).toEqual([]);
    expect(renderVm({ ...ROW, status: 'ACTIVE', security_rules }).security_rules).toEqual([
      { ...row, status: 'SUCCESS', created_at: '2026-01-31T12:00:00' },
      { ...row, id: 10, status: 'pending', created_at: '2026-01-31T12:00:00' },
    ]);
  });

  it('does not share its lists with the row', () => {
    const vm = renderVm(ROW);
    vm.labels.push('changed');
    vm.key_names.push('changed');
    expect(ROW).toMatchObject({ labels: ['a'], key_names: ['first', 'second'] });
  });
});
