/** The protocol's messages, as validated on arrival: a worker is trusted no further than its own node. */
import { Transform } from 'class-transformer';
import {
  ArrayMaxSize,
  IsBoolean,
  IsArray,
  IsIn,
  IsInt,
  IsOptional,
  IsString,
  IsUUID,
  Matches,
  Max,
  MaxLength,
  Min,
  ValidateIf,
} from 'class-validator';
import type { ImageId, IncarnationId, SnapshotUuid, TaskId, VmUuid, VolumeUuid } from '../../protocol/ids.js';
import type { ImageNews, ImageNewsBatch } from '../../protocol/image.js';
import type {
  ForeignDomain,
  GpuInventory,
  Heartbeat,
  InventoryItem,
  NodeCapacity,
  RegisterRequest,
} from '../../protocol/node.js';
import type { FailureCause, ObservedState, ReportBatch, VmReport } from '../../protocol/report.js';
import type { RemovedSnapshots, SnapshotOutcome } from '../../protocol/snapshot.js';
import type { PreparedVolume, PreparedVolumes, RemovedVolumes } from '../../protocol/volume.js';
import { IsListOfNested, IsNested } from '../http/nested.js';
import { IsPlainText } from '../http/plain-text.js';
import { IgnoresUnknownFields } from '../http/validation-pipe.js';
import { IsSession } from './node-session.js';

const MAX_INT = 2 ** 31 - 1;
const MAX_REASON_LENGTH = 500;
/** What no PostgreSQL text can hold: NUL, and half of a surrogate pair. */
const UNSTORABLE = /[\0\p{Cs}]/gu;

/** A worker that is refused for its wording would report the same again for ever: so the words are made to fit. */
const fitted = (reason: unknown): unknown =>
  typeof reason === 'string' ? reason.slice(0, MAX_REASON_LENGTH).replace(UNSTORABLE, '\ufffd') : reason;

class GpuInventoryBody implements GpuInventory {
  @IsString()
  @MaxLength(50)
  @IsPlainText()
  model: string;

  @IsInt()
  @Min(1)
  @Max(64)
  count: number;
}

class NodeCapacityBody implements NodeCapacity {
  @IsInt()
  @Min(1)
  @Max(65_536)
  cpus: number;

  @IsInt()
  @Min(1)
  @Max(MAX_INT)
  memoryMib: number;

  @IsInt()
  @Min(0)
  @Max(MAX_INT)
  diskGib: number;

  @ArrayMaxSize(64)
  @IsListOfNested(() => GpuInventoryBody)
  gpus: GpuInventoryBody[];
}

@IgnoresUnknownFields()
export class RegisterBody implements RegisterRequest {
  @Matches(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i, { message: 'name must be letters, digits and dashes, at most 63' })
  name: string;

  @IsString()
  @MaxLength(50)
  @IsPlainText()
  region: string;

  @IsString()
  @MaxLength(50)
  @IsPlainText()
  hypervisor: string;

  @IsIn(['kvm', 'tcg', 'none'])
  acceleration: RegisterRequest['acceleration'];

  @IsInt()
  @Min(1)
  @Max(MAX_INT)
  protocolVersion: number;

  @IsNested(() => NodeCapacityBody)
  capacity: NodeCapacityBody;

  @IsOptional()
  @IsIn([true])
  fencing?: true;
}

class InventoryItemBody implements InventoryItem {
  @IsUUID()
  vmUuid: VmUuid;

  @IsInt()
  @Min(1)
  @Max(MAX_INT)
  incarnationId: number;

  @IsIn(['running', 'stopped', 'hibernated'])
  state: InventoryItem['state'];

  @IsOptional()
  @IsIn([true])
  paused?: true;

  @IsOptional()
  @IsIn([true])
  shutDown?: true;

  @IsOptional()
  @IsIn([true])
  diskMissing?: true;
}

class ForeignDomainBody implements ForeignDomain {
  @IsUUID('loose')
  uuid: string;

  /** Whatever somebody called it. */
  @Transform(({ value }) => fitted(value))
  @IsString()
  name: string;
}

@IgnoresUnknownFields()
export class HeartbeatBody implements Heartbeat {
  @IsSession()
  session: number;

  @IsString()
  @MaxLength(64)
  @IsPlainText()
  inventoryDigest: string;

  @IsOptional()
  @ArrayMaxSize(10_000)
  @IsListOfNested(() => InventoryItemBody)
  inventory?: InventoryItemBody[];

  @IsOptional()
  @IsArray()
  @ArrayMaxSize(10_000)
  @IsUUID(undefined, { each: true })
  snapshots?: SnapshotUuid[];

  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(Number.MAX_SAFE_INTEGER)
  sequence?: number;

  @IsOptional()
  @ArrayMaxSize(10_000)
  @IsListOfNested(() => ForeignDomainBody)
  foreign?: ForeignDomainBody[];
}

class SnapshotOutcomeBody {
  @IsUUID()
  uuid: SnapshotUuid;

  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(Number.MAX_SAFE_INTEGER)
  sizeBytes?: number;

  @IsOptional()
  @Transform(({ value }) => fitted(value))
  @IsString()
  problem?: string;
}

class VmReportBody implements VmReport {
  @IsInt()
  @Min(1)
  @Max(MAX_INT)
  incarnationId: IncarnationId;

  @IsOptional()
  @IsUUID()
  taskId?: TaskId;

  @IsInt()
  @Min(1)
  @Max(MAX_INT)
  generation: number;

  @IsInt()
  @Min(1)
  @Max(Number.MAX_SAFE_INTEGER)
  sequence: number;

  @IsIn(['building', 'running', 'stopped', 'hibernated', 'absent', 'failed'])
  observed: ObservedState;

  @IsOptional()
  @Matches(/^[0-9a-f]{64}$/, { message: 'metadataTokenHash must be a SHA-256 in hex' })
  metadataTokenHash?: string;

  @IsOptional()
  @IsArray()
  @ArrayMaxSize(100)
  @IsUUID(undefined, { each: true })
  volumes?: VolumeUuid[];

  @IsOptional()
  @IsNested(() => SnapshotOutcomeBody)
  snapshot?: SnapshotOutcome;

  @IsOptional()
  @Transform(({ value }) => fitted(value))
  @IsString()
  reason?: string;

  @IsOptional()
  @IsIn(['node', 'image', 'request'])
  cause?: FailureCause;
}

@IgnoresUnknownFields()
export class RemovedVolumesBody implements RemovedVolumes {
  @IsSession()
  session: number;

  @IsArray()
  @ArrayMaxSize(1000)
  @IsUUID(undefined, { each: true })
  volumes: VolumeUuid[];
}

@IgnoresUnknownFields()
export class RemovedSnapshotsBody implements RemovedSnapshots {
  @IsSession()
  session: number;

  @IsArray()
  @ArrayMaxSize(1000)
  @IsUUID(undefined, { each: true })
  snapshots: SnapshotUuid[];
}

class PreparedVolumeBody implements PreparedVolume {
  @IsUUID()
  uuid: VolumeUuid;

  @IsOptional()
  @Transform(({ value }) => fitted(value))
  @IsString()
  fault?: string;
}

@IgnoresUnknownFields()
export class PreparedVolumesBody implements PreparedVolumes {
  @IsSession()
  session: number;

  @ArrayMaxSize(100)
  @IsListOfNested(() => PreparedVolumeBody)
  volumes: PreparedVolumeBody[];
}

const In = (...states: ImageNews['state'][]): PropertyDecorator => ValidateIf((news: ImageNewsBody) => states.includes(news.state));

class ImageNewsBody {
  @IsInt()
  @Min(1)
  @Max(MAX_INT)
  imageId: ImageId;

  @IsInt()
  @Min(1)
  @Max(MAX_INT)
  attempt: number;

  @IsIn(['downloading', 'checked', 'failed'])
  state: ImageNews['state'];

  @In('downloading', 'checked')
  @IsInt()
  @Min(0)
  @Max(Number.MAX_SAFE_INTEGER)
  bytes?: number;

  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(Number.MAX_SAFE_INTEGER)
  totalBytes?: number;

  @In('checked')
  @Matches(/^[0-9a-f]{64}$/, { message: 'sha256 must be a SHA-256 in hex' })
  sha256?: string;

  @In('checked')
  @IsInt()
  @Min(1)
  @Max(Number.MAX_SAFE_INTEGER)
  virtualBytes?: number;

  @In('failed')
  @Transform(({ value }) => fitted(value))
  @IsString()
  reason?: string;

  @In('failed')
  @IsBoolean()
  retryable?: boolean;
}

@IgnoresUnknownFields()
export class ImageNewsBatchBody implements ImageNewsBatch {
  @IsSession()
  session: number;

  @ArrayMaxSize(100)
  @IsListOfNested(() => ImageNewsBody)
  news: (ImageNewsBody & ImageNews)[];
}

@IgnoresUnknownFields()
export class ReportBatchBody implements ReportBatch {
  @IsSession()
  session: number;

  @ArrayMaxSize(500)
  @IsListOfNested(() => VmReportBody)
  reports: VmReportBody[];
}
