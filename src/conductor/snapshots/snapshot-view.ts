/** A snapshot as the API shows it: one query reads what two functions render, one for lists and one for a snapshot alone. */
import type { OrganizationId, VmId } from '../../protocol/ids.js';
import { apiTime } from '../http/envelope.js';
import type { SnapshotFields, SnapshotRetrieveFields } from './snapshot.responses.js';
import { statusOf, type SnapshotState } from './snapshot-status.js';

export interface SnapshotRow {
  readonly id: number;
  readonly organization_id: OrganizationId;
  readonly name: string;
  readonly description: string;
  readonly labels: readonly string[];
  readonly state: SnapshotState;
  readonly removing: boolean;
  readonly size_gib: number;
  /** A bigint, which the driver gives as text. */
  readonly size_bytes: string | null;
  readonly fault: string | null;
  readonly has_floating_ip: boolean;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly region_id: number;
  readonly region: string;
  readonly environment: string;
  readonly flavor: string;
  readonly vm_id: VmId;
  readonly vm_name: string;
  readonly vm_status: string;
  readonly vm_image: string;
  readonly vm_keypair: string | null;
  readonly custom_image: string | null;
}

/** To be followed by a WHERE clause over `s`, `e` (environment) and `vm`. */
export const SELECT_SNAPSHOT = `
  SELECT s.id, s.organization_id, s.name, s.description, s.labels, s.state, s.removal_requested_at IS NOT NULL AS removing, s.size_gib,
         s.size_bytes, s.fault, s.has_floating_ip, s.created_at, s.updated_at, r.id AS region_id, r.name AS region,
         e.name AS environment, f.name AS flavor, vm.id AS vm_id, vm.name AS vm_name, vm.status AS vm_status, i.name AS vm_image,
         (SELECT k.name FROM virtual_machine_keypair k WHERE k.virtual_machine_id = vm.id ORDER BY k.position LIMIT 1) AS vm_keypair,
         (SELECT c.name FROM image c WHERE c.snapshot_id = s.id AND c.deleted_at IS NULL) AS custom_image
    FROM snapshot s
    JOIN environment e ON e.id = s.environment_id
    JOIN region r ON r.id = e.region_id
    JOIN flavor f ON f.id = s.flavor_id
    JOIN virtual_machine vm ON vm.id = s.virtual_machine_id
    JOIN image i ON i.id = vm.image_id`;

const common = (row: SnapshotRow): Omit<SnapshotFields, 'labels'> => ({
  id: row.id,
  name: row.name,
  description: row.description,
  status: statusOf(row.state, row.removing),
  size: row.size_gib,
  size_bytes: row.size_bytes === null ? null : Number(row.size_bytes),
  is_image: row.custom_image !== null,
  has_floating_ip: row.has_floating_ip,
  vm_id: row.vm_id,
  vm_name: row.vm_name,
  vm_status: row.vm_status,
  region_id: row.region_id,
  region: row.region,
  fault: row.fault,
  created_at: apiTime(row.created_at),
  updated_at: apiTime(row.updated_at),
});

export const renderSnapshot = (row: SnapshotRow): SnapshotFields => ({ ...common(row), labels: [...row.labels] });

/** The strictest of Infrahub's clients takes neither objects nor a list of labels here. */
export const renderSnapshotAlone = (row: SnapshotRow): SnapshotRetrieveFields => ({
  ...common(row),
  labels: row.labels.join(','),
  vm_environment: row.environment,
  vm_flavor: row.flavor,
  vm_image: row.vm_image,
  vm_keypair: row.vm_keypair ?? '',
  custom_image: row.custom_image,
  volume_id: null,
  volume_name: null,
});
