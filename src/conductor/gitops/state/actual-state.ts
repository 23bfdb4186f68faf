/**
 * Reads what a repository owns as it is now: one query for each kind, whatever their number, and one more that says
 * whether names that are wanted belong to somebody else. Reads only; every query names repository and organization.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { OrganizationId } from '../../../protocol/ids.js';
import type { SecurityRuleSpec } from '../../../protocol/security-rule.js';
import { keyOf, type DeclaredResource, type Identity, type Kind, type Power, type SpecOf, type VirtualMachineSpec } from '../manifest/resource.js';
import { canonicalRules } from '../manifest/rules.js';
import type { ActualResource, ForeignResource, Readiness } from '../plan/plan.js';
import type { VmStatus } from '../../virtual-machines/vm-status.js';
import { STAGE, type VolumeStage } from '../../volumes/volume-view.js';

export interface Owner {
  readonly id: number;
  readonly organizationId: OrganizationId;
}

/** What every query of a kind gives. */
interface OwnedRow {
  readonly id: number;
  readonly environment: string;
  readonly name: string;
  readonly protect: boolean;
  readonly current_name: string;
  readonly current_environment: string;
}

const OWNED = 'o.environment, o.name, o.protect';

const JOIN: Readonly<Record<Kind, string>> = {
  Environment: `JOIN environment e ON e.id = o.resource_id AND e.organization_id = o.organization_id AND e.deleted_at IS NULL
                JOIN region r ON r.id = e.region_id`,
  Keypair: `JOIN keypair k ON k.id = o.resource_id
            JOIN environment e ON e.id = k.environment_id AND e.organization_id = o.organization_id`,
  Firewall: `JOIN firewall f ON f.id = o.resource_id
             JOIN environment e ON e.id = f.environment_id AND e.organization_id = o.organization_id`,
  Volume: `JOIN volume v ON v.id = o.resource_id AND v.organization_id = o.organization_id AND v.deleted_at IS NULL
           JOIN environment e ON e.id = v.environment_id`,
  Profile: `JOIN profile p ON p.id = o.resource_id AND p.organization_id = o.organization_id`,
  VirtualMachine: `JOIN virtual_machine vm ON vm.id = o.resource_id AND vm.organization_id = o.organization_id AND vm.deleted_at IS NULL
                   JOIN environment e ON e.id = vm.environment_id
                   JOIN flavor fl ON fl.id = vm.flavor_id
                   JOIN image i ON i.id = vm.image_id`,
};

const from = (kind: Kind): string =>
  `FROM gitops_ownership o ${JOIN[kind]} WHERE o.git_repository_id = $1 AND o.organization_id = $2 AND o.kind = '${kind}'`;

const names = (query: string): string => `ARRAY(SELECT ${query})`;

const rules = (condition: string): string =>
  `coalesce((SELECT json_agg(json_build_object('direction', s.direction, 'ethertype', s.ethertype, 'protocol', s.protocol,
    'remoteIpPrefix', s.remote_ip_prefix, 'portMin', s.port_range_min, 'portMax', s.port_range_max)) FROM security_rule s WHERE ${condition}), '[]')`;

const SELECT: Readonly<Record<Kind, string>> = {
  Environment: `SELECT ${OWNED}, e.id, e.name AS current_name, '' AS current_environment, r.name AS region`,
  Keypair: `SELECT ${OWNED}, k.id, k.name AS current_name, e.name AS current_environment, k.public_key`,
  Firewall: `SELECT ${OWNED}, f.id, f.name AS current_name, e.name AS current_environment,
    ${rules('s.firewall_id = f.id')} AS rules`,
  Volume: `SELECT ${OWNED}, v.id, v.name AS current_name, e.name AS current_environment, v.size_gib AS size, v.volume_type AS type,
    (SELECT i.name FROM image i WHERE i.id = v.image_id) AS image, ${STAGE} AS stage, v.fault,
    EXISTS (SELECT 1 FROM volume_attachment a WHERE a.volume_id = v.id AND a.status = 'DETACHING') AS detaching`,
  Profile: `SELECT ${OWNED}, p.id, p.name AS current_name, '' AS current_environment, p.description, p.data`,
  VirtualMachine: `SELECT ${OWNED}, vm.id, vm.name AS current_name, e.name AS current_environment, vm.status, vm.fault,
    vm.desired_power,
    CASE WHEN fl.custom THEN json_build_object('cpu', fl.cpu, 'ram_mib', fl.ram_mib, 'disk', fl.disk, 'gpu', fl.gpu, 'gpu_count', fl.gpu_count)
         ELSE to_json(fl.name) END AS flavor, i.name AS image, vm.callback_url,
    (SELECT json_build_object('volume', w.name, 'made_with_it', w.name LIKE '%-root-' || vm.id)
       FROM volume_attachment a JOIN volume w ON w.id = a.volume_id
      WHERE a.virtual_machine_id = vm.id AND a.root AND a.status <> 'DETACHED') AS root,
    'sha256:' || encode(sha256(convert_to(vm.user_data, 'UTF8')), 'hex') AS user_data,
    vm.awaits_floating_ip OR EXISTS (SELECT 1 FROM floating_ip x WHERE x.virtual_machine_id = vm.id
      AND NOT (x.detaching AND x.changed_for IS NOT DISTINCT FROM vm.id)) AS floating_ip,
    EXISTS (SELECT 1 FROM floating_ip x WHERE x.virtual_machine_id = vm.id AND x.detaching AND x.changed_for IS NOT DISTINCT FROM vm.id)
      OR EXISTS (SELECT 1 FROM volume_attachment a WHERE a.virtual_machine_id = vm.id AND a.status IN ('ATTACHING', 'DETACHING')) AS changing,
    ${rules('s.virtual_machine_id = vm.id')} AS security_rules,
    ${names('k.name FROM virtual_machine_keypair k WHERE k.virtual_machine_id = vm.id')} AS keypairs,
    ${names('l.label FROM virtual_machine_label l WHERE l.virtual_machine_id = vm.id')} AS labels,
    ${names('w.name FROM firewall_attachment a JOIN firewall w ON w.id = a.firewall_id WHERE a.virtual_machine_id = vm.id')} AS firewalls,
    ${names(`v.name FROM volume_attachment a JOIN volume v ON v.id = a.volume_id
              WHERE a.virtual_machine_id = vm.id AND NOT a.root AND a.status IN ('ATTACHING', 'ATTACHED')`)} AS volumes`,
};

/** Whether something of this name is there, whoever made it. */
const TAKEN = `
  SELECT w.kind, w.environment, w.name FROM json_to_recordset($2) AS w(kind text, environment text, name text)
   WHERE CASE w.kind
     WHEN 'Environment' THEN EXISTS (SELECT 1 FROM environment e WHERE e.organization_id = $1 AND e.name = w.name AND e.deleted_at IS NULL)
     WHEN 'Profile' THEN EXISTS (SELECT 1 FROM profile p WHERE p.organization_id = $1 AND p.name = w.name)
     ELSE EXISTS (
       SELECT 1 FROM environment e WHERE e.organization_id = $1 AND e.name = w.environment AND e.deleted_at IS NULL AND CASE w.kind
         WHEN 'Keypair' THEN EXISTS (SELECT 1 FROM keypair k WHERE k.environment_id = e.id AND k.name = w.name)
         WHEN 'Firewall' THEN EXISTS (SELECT 1 FROM firewall f WHERE f.environment_id = e.id AND f.name = w.name)
         WHEN 'Volume' THEN EXISTS (SELECT 1 FROM volume v WHERE v.environment_id = e.id AND v.name = w.name AND v.deleted_at IS NULL)
         ELSE EXISTS (SELECT 1 FROM virtual_machine vm WHERE vm.environment_id = e.id AND vm.name = w.name AND vm.deleted_at IS NULL) END) END`;

@Injectable()
export class ActualState {
  constructor(private readonly dataSource: DataSource) {}

  async load(owner: Owner, desired: readonly DeclaredResource[]): Promise<(ActualResource | ForeignResource)[]> {
    const owned: ActualResource[] = [];
    for (const kind of Object.keys(READERS) as Kind[]) owned.push(...(await this.ofKind(owner, kind)));
    const keys = new Set(owned.map(keyOf));
    const missing = desired.filter((resource) => !keys.has(keyOf(resource)));
    return [...owned, ...(await this.foreign(owner, missing))];
  }

  private async ofKind({ id, organizationId }: Owner, kind: Kind): Promise<ActualResource[]> {
    const rows = await this.dataSource.query<OwnedRow[]>(`${SELECT[kind]} ${from(kind)}`, [id, organizationId]);
    return rows.map((row) => {
      const { spec, readiness = 'ready', fault = null } = READERS[kind](row as never);
      const { environment, name, protect } = row;
      const current = { name: row.current_name, environment: row.current_environment };
      return { kind, environment, name, id: row.id, owned: true, protect, readiness, fault, spec, current } as ActualResource;
    });
  }

  private async foreign({ organizationId }: Owner, wanted: readonly DeclaredResource[]): Promise<ForeignResource[]> {
    if (wanted.length === 0) return [];
    const identities = wanted.map(({ kind, environment, name }): Identity => ({ kind, environment, name }));
    const rows = await this.dataSource.query<Identity[]>(TAKEN, [organizationId, JSON.stringify(identities)]);
    return rows.map((identity) => ({ ...identity, owned: false }));
  }
}

interface Reading<K extends Kind> {
  readonly spec: SpecOf[K];
  readonly readiness?: Readiness;
  readonly fault?: string | null;
}

interface RuleRow extends Omit<SecurityRuleSpec, 'portMin' | 'portMax'> {
  readonly portMin: number | null;
  readonly portMax: number | null;
}

const rulesFrom = (rows: readonly RuleRow[]): readonly SecurityRuleSpec[] =>
  canonicalRules(rows.map(({ portMin, portMax, ...rule }) => (portMin === null || portMax === null ? rule : { ...rule, portMin, portMax })));

interface VmRow extends Omit<VirtualMachineSpec, 'power' | 'security_rules' | 'boot_volume' | 'create_bootable_volume'> {
  readonly security_rules: readonly RuleRow[];
  /** What it boots from, unless that is a disk of its own. */
  readonly root: { readonly volume: string; readonly made_with_it: boolean } | null;
  readonly status: VmStatus;
  readonly fault: string | null;
  readonly desired_power: Power;
  readonly changing: boolean;
}

const READERS: { readonly [K in Kind]: (row: never) => Reading<K> } = {
  Environment: ({ region }: SpecOf['Environment']) => ({ spec: { region } }),
  Keypair: ({ public_key }: SpecOf['Keypair']) => ({ spec: { public_key } }),
  Firewall: ({ rules }: { rules: RuleRow[] }) => ({
    spec: { rules: rulesFrom(rules) },
  }),
  Volume: ({ size, type, image, stage, fault, detaching }: SpecOf['Volume'] & { stage: VolumeStage; fault: string | null; detaching: boolean }) => ({
    spec: { size, type, image },
    readiness: detaching && STAGED[stage] === 'ready' ? 'busy' : STAGED[stage],
    fault,
  }),
  Profile: ({ description, data }: SpecOf['Profile']) => ({ spec: { description, data } }),
  VirtualMachine: (row: VmRow) => ({
    spec: {
      flavor: row.flavor,
      image: row.root === null || row.root.made_with_it ? row.image : null,
      boot_volume: row.root === null || row.root.made_with_it ? null : row.root.volume,
      create_bootable_volume: row.root?.made_with_it ?? false,
      keypairs: row.keypairs.toSorted(),
      user_data: row.user_data,
      labels: row.labels.toSorted(),
      firewalls: row.firewalls.toSorted(),
      volumes: row.volumes.toSorted(),
      security_rules: rulesFrom(row.security_rules),
      callback_url: row.callback_url,
      floating_ip: row.floating_ip,
      power: POWER[row.status] ?? row.desired_power,
    },
    readiness: row.changing && READINESS[row.status] === 'ready' ? 'busy' : READINESS[row.status],
    fault: row.fault,
  }),
};

/** Of a machine that has arrived, whatever was wished: one that switched itself off is off. */
const POWER: Readonly<Partial<Record<VmStatus, Power>>> = { ACTIVE: 'running', SHUTOFF: 'stopped', HIBERNATED: 'hibernated' };

const STAGED: Readonly<Record<VolumeStage, Readiness>> = { preparing: 'busy', failed: 'failed', ready: 'ready', removing: 'deleting', gone: 'deleting' };

const READINESS: Readonly<Record<VmStatus, Readiness>> = {
  CREATING: 'busy',
  BUILD: 'busy',
  ACTIVE: 'ready',
  STARTING: 'busy',
  STOPPING: 'busy',
  REBOOTING: 'busy',
  HIBERNATING: 'busy',
  HIBERNATED: 'ready',
  RESTORING: 'busy',
  RESIZING: 'busy',
  SHUTOFF: 'ready',
  ERROR: 'failed',
  DELETING: 'deleting',
  DELETED: 'deleting',
};
