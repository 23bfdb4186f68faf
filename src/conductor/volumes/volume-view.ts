/**
 * A volume and its attachments as the API shows them. The status of a volume is derived here: from whether it shall
 * go, from the one attachment of it that has not ended, and from whether its node has made it of its image.
 */
import type { GreenStatus } from '../catalog/region.entity.js';
import { apiTime } from '../http/envelope.js';
import type { VmId, VolumeUuid } from '../../protocol/ids.js';
import { serialOf } from '../../protocol/volume.js';
import type { AttachmentStatus } from './volume-attachment.entity.js';
import type { AttachmentOfVm, AttachVolumeFields, VolumeFields } from './volume.responses.js';

export type VolumeStatus = 'downloading' | 'available' | 'attaching' | 'in-use' | 'detaching' | 'deleting' | 'deleted' | 'error';

/** How far a volume is with its node: there is nothing to make of an empty one. */
export type VolumeStage = 'preparing' | 'failed' | 'ready' | 'removing' | 'gone';

const WITHOUT_VM: Readonly<Record<VolumeStage, VolumeStatus>> = {
  preparing: 'downloading',
  failed: 'error',
  ready: 'available',
  removing: 'deleting',
  gone: 'deleted',
};

const WITH_VM: Readonly<Record<Exclude<AttachmentStatus, 'DETACHED'>, VolumeStatus>> = {
  ATTACHING: 'attaching',
  ATTACHED: 'in-use',
  DETACHING: 'detaching',
};

/** The stage of the volume `v`. */
export const STAGE = `
  CASE WHEN v.deleted_at IS NOT NULL THEN 'gone' WHEN v.removal_requested_at IS NOT NULL THEN 'removing'
       WHEN v.fault IS NOT NULL THEN 'failed' WHEN v.image_id IS NOT NULL AND v.prepared_at IS NULL THEN 'preparing'
       ELSE 'ready' END`;

/** What is with a VM is made by that VM's worker. */
export function deriveVolumeStatus(stage: VolumeStage, attachment: AttachmentStatus | null): VolumeStatus {
  const isWithVm = attachment !== null && attachment !== 'DETACHED' && stage !== 'removing' && stage !== 'gone';
  return isWithVm ? WITH_VM[attachment] : WITHOUT_VM[stage];
}

/** The path of the disk in a guest that has udev. */
export const deviceOf = (uuid: VolumeUuid): string => `/dev/disk/by-id/virtio-${serialOf(uuid)}`;

export interface VolumeRow {
  readonly id: number;
  readonly uuid: VolumeUuid;
  readonly name: string;
  readonly description: string;
  readonly size_gib: number;
  readonly volume_type: string;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly stage: VolumeStage;
  readonly fault: string | null;
  readonly callback_url: string | null;
  readonly image_id: number | null;
  readonly os_image: string | null;
  readonly environment: { readonly name: string; readonly region: string; readonly green_status: GreenStatus };
  readonly attachments: readonly {
    readonly id: number;
    readonly instance_id: VmId;
    readonly protected: boolean;
    readonly status: AttachmentStatus;
  }[];
}

/** To be followed by a WHERE clause over `v`, `e` (environment) and `r` (region). */
export const SELECT_VOLUME = `
  SELECT v.id, v.uuid, v.name, v.description, v.size_gib, v.volume_type, v.created_at, v.updated_at,
         v.fault, v.callback_url, v.image_id, (SELECT i.name FROM image i WHERE i.id = v.image_id) AS os_image, ${STAGE} AS stage,
         json_build_object('name', e.name, 'region', r.name, 'green_status', r.green_status) AS environment,
         coalesce((SELECT json_agg(json_build_object('id', a.id, 'instance_id', a.virtual_machine_id,
                                                     'protected', a.protected, 'status', a.status) ORDER BY a.id)
                     FROM volume_attachment a WHERE a.volume_id = v.id), '[]') AS attachments
    FROM volume v
    JOIN environment e ON e.id = v.environment_id
    JOIN region r ON r.id = e.region_id`;

export function renderVolume(row: VolumeRow): VolumeFields {
  const live = row.attachments.find(({ status }) => status !== 'DETACHED');
  const { name, region, green_status } = row.environment;
  return {
    id: row.id,
    name: row.name,
    description: row.description,
    status: deriveVolumeStatus(row.stage, live?.status ?? null),
    size: row.size_gib,
    volume_type: row.volume_type,
    environment: { name, region, features: { green_status, network_optimised: false } },
    attachments: row.attachments.map((attachment) => ({ ...attachment, device: deviceOf(row.uuid) })),
    bootable: row.image_id !== null,
    // Terraform's provider ends in a panic where this is null.
    image_id: row.image_id ?? 0,
    os_image: row.os_image ?? '',
    callback_url: row.callback_url,
    fault: row.fault,
    created_at: apiTime(row.created_at),
    updated_at: apiTime(row.updated_at),
  };
}

export interface AttachmentRow {
  readonly id: number;
  readonly volume_id: number;
  readonly instance_id: VmId;
  readonly uuid: VolumeUuid;
  readonly protected: boolean;
  readonly status: AttachmentStatus;
  readonly created_at: Date;
}

export const renderAttachment = ({ uuid, created_at, ...row }: AttachmentRow): AttachVolumeFields => ({
  id: row.id,
  volume_id: row.volume_id,
  instance_id: row.instance_id,
  protected: row.protected,
  status: row.status,
  device: deviceOf(uuid),
  created_at: apiTime(created_at),
});

/** What a VM's row has of its attachments, as JSON. */
export interface VmAttachmentRow {
  readonly id: number;
  readonly uuid: VolumeUuid;
  readonly protected: boolean;
  readonly status: AttachmentStatus;
  readonly created_at: string;
  readonly volume: { readonly id: number; readonly name: string; readonly description: string; readonly size: number; readonly volume_type: string; readonly bootable: boolean };
}

/** A subquery over `vm`: its attachments that have not ended. */
export const SELECT_VM_ATTACHMENTS = `
  coalesce((SELECT json_agg(json_build_object('id', a.id, 'uuid', v.uuid, 'protected', a.protected, 'status', a.status,
                              'created_at', a.created_at, 'volume', json_build_object('id', v.id, 'name', v.name,
                              'description', v.description, 'size', v.size_gib, 'volume_type', v.volume_type,
                              'bootable', v.image_id IS NOT NULL)) ORDER BY a.id)
              FROM volume_attachment a JOIN volume v ON v.id = a.volume_id
             WHERE a.virtual_machine_id = vm.id AND a.status <> 'DETACHED'), '[]')`;

export const renderVmAttachment = (row: VmAttachmentRow): AttachmentOfVm => ({
  id: row.id,
  device: deviceOf(row.uuid),
  protected: row.protected,
  status: row.status,
  created_at: apiTime(new Date(row.created_at)),
  volume: row.volume,
});
