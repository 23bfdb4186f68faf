/**
 * Makes a private image of a snapshot: a name by which any number of VMs can be made of it, of any flavor that is large
 * enough, on the node that has the copy. Nothing is copied once more. It goes with its snapshot.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { change } from '../audit/change.js';
import { ImagesService } from '../catalog/images.service.js';
import type { ImageFields } from '../catalog/image.responses.js';
import { violatedUnique } from '../database/database-error.js';
import { alreadyExists, badRequest, notFound } from '../http/api-error.js';
import type { Principal } from '../identity/principal.js';
import { writeSnapshotNews } from './snapshot-news.js';
import type { CreateImagePayload } from './snapshot.requests.js';
import { statusOf, type SnapshotState } from './snapshot-status.js';
import { SNAPSHOT } from './snapshots.service.js';

const LOCK = `
  SELECT s.name, s.state, s.removal_requested_at IS NOT NULL AS removing FROM snapshot s
   WHERE s.organization_id = $1 AND s.id = $2 AND s.deleted_at IS NULL FOR UPDATE`;

/** Kernel and initial RAM disk, where the VM boots with some, stay those of its image. */
const INSERT = `
  INSERT INTO image (region_id, organization_id, snapshot_id, name, labels, type, version, description, size_bytes, min_disk_gib, files)
  SELECT e.region_id, s.organization_id, s.id, $2::text, $3::text[], 'Snapshot', i.version, format('Made of the snapshot %s', s.name), s.size_bytes, s.size_gib,
         ((vm.hardware->'image') - 'name') || jsonb_build_object('disk', jsonb_build_object('snapshot', s.uuid, 'format', 'qcow2'))
    FROM snapshot s
    JOIN environment e ON e.id = s.environment_id
    JOIN virtual_machine vm ON vm.id = s.virtual_machine_id
    JOIN image i ON i.id = vm.image_id
   WHERE s.id = $1 AND NOT EXISTS (SELECT 1 FROM image p WHERE p.region_id = e.region_id AND p.organization_id IS NULL
                                      AND p.name = $2::text AND p.deleted_at IS NULL)
  RETURNING id`;

@Injectable()
export class SnapshotImages {
  constructor(
    private readonly dataSource: DataSource,
    private readonly images: ImagesService,
  ) {}

  /** @throws ApiError 404; 400 when it is not complete; 409 when it has an image already, or the name is taken. */
  async make(principal: Principal, id: number, { name, labels = [] }: CreateImagePayload): Promise<ImageFields> {
    const imageId = await change(this.dataSource, principal, (transaction) => insert(transaction, principal, id, name, labels));
    return await this.images.get(principal.organizationId, imageId);
  }
}

async function insert(transaction: EntityManager, principal: Principal, id: number, name: string, labels: readonly string[]): Promise<number> {
  const [snapshot] = await transaction.query<{ name: string; state: SnapshotState; removing: boolean }[]>(LOCK, [
    principal.organizationId,
    id,
  ]);
  if (snapshot === undefined) throw notFound(SNAPSHOT);
  const status = statusOf(snapshot.state, snapshot.removing);
  if (status !== 'SUCCESS')
    throw badRequest(`The snapshot '${snapshot.name}' is ${status}; an image can be made of it when it is SUCCESS.`);
  const taken = alreadyExists(`There is already an image '${name}'. Choose another name.`);
  try {
    const [image] = await transaction.query<{ id: number }[]>(INSERT, [id, name, labels]);
    if (image === undefined) throw taken;
    await writeSnapshotNews(transaction, [
      { snapshotId: id, news: 'imaged', message: `The image ${name} was made of it.`, userId: principal.userId },
    ]);
    return image.id;
  } catch (error) {
    const violated = violatedUnique(error);
    if (violated === 'uq_image_private_name') throw taken;
    if (violated === 'uq_image_snapshot') throw alreadyExists(`The snapshot '${snapshot.name}' has an image already. Delete that one first.`);
    throw error;
  }
}
