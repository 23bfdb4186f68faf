/**
 * A VM as the API shows it: Infrahub's `InstanceFields`, field for field, and what Baton adds. One query reads what
 * one function renders; creation renders the same from what it is about to insert.
 */
import type { EnvironmentId, OrganizationId, VmId, VmUuid } from '../../protocol/ids.js';
import { FLAVOR_FEATURES } from '../catalog/flavor.responses.js';
import type { GreenStatus } from '../catalog/region.entity.js';
import { apiTime } from '../http/envelope.js';
import { ruleFields, type SecurityRuleRow } from '../security-rules/security-rule.dto.js';
import type { InstanceFields } from './vm.responses.js';
import { renderVmAttachment, SELECT_VM_ATTACHMENTS, type VmAttachmentRow } from '../volumes/volume-view.js';
import { allowedActions, powerAndVmState, type Observed, type VmStatus } from './vm-status.js';

export interface EnvironmentFacts {
  readonly id: EnvironmentId;
  readonly name: string;
  readonly region: string;
  readonly green_status: GreenStatus;
}

export interface FlavorFacts {
  readonly id: number;
  readonly name: string;
  readonly cpu: number;
  readonly ram_mib: number;
  readonly disk: number;
  readonly gpu: string;
  readonly gpu_count: number;
}

export interface VmRow {
  readonly id: VmId;
  readonly uuid: VmUuid;
  readonly organization_id: OrganizationId;
  readonly name: string;
  readonly status: VmStatus;
  readonly observed: Observed;
  /** It has a place on a node. */
  readonly placed: boolean;
  /** Its node is DOWN: what is known of the VM may be old. */
  readonly node_down: boolean;
  readonly fault: string | null;
  readonly fixed_ip: string | null;
  readonly floating_ip: string | null;
  /** How far the last attaching or detaching is; null once its node has confirmed it. */
  readonly floating_ip_change: 'ATTACHING' | 'DETACHING' | null;
  readonly security_rules: readonly SecurityRuleRow[];
  readonly callback_url: string | null;
  readonly port_randomization: boolean;
  readonly created_at: Date;
  readonly reachable_at: Date | null;
  readonly environment: EnvironmentFacts;
  readonly flavor: FlavorFacts;
  readonly image_name: string;
  readonly key_names: readonly string[];
  readonly labels: readonly string[];
  readonly volume_attachments: readonly VmAttachmentRow[];
  readonly is_snapshotting: boolean;
}

/** Everything `renderVm` needs, to be followed by a WHERE clause over `vm`, `e` (environment) and `r` (region). */
export const SELECT_VM = `
  SELECT vm.id, vm.uuid, vm.organization_id, vm.name, vm.status, vm.observed, vm.fault,
         CASE WHEN vm.status <> 'CREATING' THEN host(vm.fixed_ip) END AS fixed_ip,
         ip.address AS floating_ip,
         CASE WHEN ip.changed_for IS DISTINCT FROM vm.id THEN NULL WHEN ip.detaching THEN 'DETACHING'
              WHEN ip.changed_generation > vm.observed_generation THEN 'ATTACHING' END AS floating_ip_change,
         coalesce((SELECT json_agg(json_build_object('id', s.id, 'direction', s.direction, 'protocol', s.protocol,
                     'ethertype', s.ethertype, 'remote_ip_prefix', s.remote_ip_prefix, 'port_range_min', s.port_range_min,
                     'port_range_max', s.port_range_max, 'created_at', s.created_at,
                     'confirmed', s.generation <= vm.observed_generation AND vm.observed IN ('running', 'stopped')) ORDER BY s.id)
                     FROM security_rule s WHERE s.virtual_machine_id = vm.id), '[]') AS security_rules,
         vm.callback_url, vm.port_randomization, vm.created_at, vm.reachable_at,
         json_build_object('id', e.id, 'name', e.name, 'region', r.name, 'green_status', r.green_status) AS environment,
         json_build_object('id', f.id, 'name', f.name, 'cpu', f.cpu, 'ram_mib', f.ram_mib, 'disk', f.disk,
                           'gpu', f.gpu, 'gpu_count', f.gpu_count) AS flavor,
         i.name AS image_name,
         EXISTS (SELECT 1 FROM incarnation n WHERE n.virtual_machine_id = vm.id AND n.ended_at IS NULL) AS placed,
         EXISTS (SELECT 1 FROM incarnation n
                   JOIN compute_node c ON c.id = n.compute_node_id
                   JOIN compute_node_heartbeat h ON h.compute_node_id = c.id
                  WHERE n.virtual_machine_id = vm.id AND n.ended_at IS NULL
                    AND h.beat_at < now() - make_interval(secs => c.lease_seconds)) AS node_down,
         ARRAY(SELECT k.name FROM virtual_machine_keypair k WHERE k.virtual_machine_id = vm.id ORDER BY k.position)
           AS key_names,
         ARRAY(SELECT l.label FROM virtual_machine_label l WHERE l.virtual_machine_id = vm.id ORDER BY l.label)
           AS labels,
         vm.hardware ? 'snapshot' AS is_snapshotting,
         ${SELECT_VM_ATTACHMENTS} AS volume_attachments
    FROM virtual_machine vm
    JOIN environment e ON e.id = vm.environment_id
    JOIN region r ON r.id = e.region_id
    JOIN flavor f ON f.id = vm.flavor_id
    JOIN image i ON i.id = vm.image_id
    LEFT JOIN floating_ip ip ON ip.virtual_machine_id = vm.id`;

export function renderVm(vm: VmRow): InstanceFields {
  const { environment, flavor } = vm;
  const settled = vm.status === 'ACTIVE' || vm.status === 'SHUTOFF' || vm.status === 'HIBERNATED';
  return {
    id: vm.id,
    name: vm.name,
    status: vm.status,
    ...powerAndVmState(vm.node_down ? 'unknown' : vm.observed),
    environment: {
      id: environment.id,
      name: environment.name,
      org_id: vm.organization_id,
      region: environment.region,
      features: { green_status: environment.green_status, network_optimised: false },
    },
    image: { name: vm.image_name },
    os: vm.image_name,
    flavor: {
      id: flavor.id,
      name: flavor.name,
      cpu: flavor.cpu,
      ram: flavor.ram_mib / 1024,
      disk: flavor.disk,
      ephemeral: 0,
      gpu: flavor.gpu,
      gpu_count: flavor.gpu_count,
      features: FLAVOR_FEATURES,
      labels: [],
    },
    keypair: { name: vm.key_names[0]! },
    key_names: [...vm.key_names],
    labels: [...vm.labels],
    fixed_ip: vm.fixed_ip,
    floating_ip: vm.floating_ip,
    floating_ip_status: vm.floating_ip === null ? 'NO FLOATING IP' : (vm.floating_ip_change ?? (settled ? 'ATTACHED' : 'ATTACHING')),
    requires_public_ip: vm.floating_ip !== null,
    port_randomization: vm.port_randomization,
    port_randomization_status: vm.floating_ip === null ? 'NO_FLOATING_IP' : 'DISABLED',
    security_rules: vm.status === 'CREATING' ? [] : vm.security_rules.map(ruleFields),
    volume_attachments: vm.volume_attachments.map(renderVmAttachment),
    features: { green_status: environment.green_status, network_optimised: false },
    callback_url: vm.callback_url,
    contract_id: null,
    cluster_id: null,
    locked: false,
    is_snapshotting: vm.is_snapshotting,
    created_at: apiTime(vm.created_at),
    uuid: vm.uuid,
    fault: vm.fault,
    reachable_at: vm.reachable_at === null ? null : apiTime(vm.reachable_at),
    allowed_actions: vm.is_snapshotting ? [] : allowedActions(vm.status, vm.placed),
  };
}
