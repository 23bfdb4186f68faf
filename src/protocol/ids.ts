/**
 * Typed identifiers: a plain number or string at run time, but one cannot be passed for another at compile time.
 * Numbers are what Infrahub clients expect for resources; UUIDs name what lives outside the database.
 */
declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

export type OrganizationId = Branded<number, 'OrganizationId'>;
export type UserId = Branded<number, 'UserId'>;
export type EnvironmentId = Branded<number, 'EnvironmentId'>;
export type RegionId = Branded<number, 'RegionId'>;
export type ImageId = Branded<number, 'ImageId'>;
export type VmId = Branded<number, 'VmId'>;
export type ComputeNodeId = Branded<number, 'ComputeNodeId'>;
/** One life of one VM on one node. */
export type IncarnationId = Branded<number, 'IncarnationId'>;
/** A UUID, assigned when the task is written to the outbox. */
export type TaskId = Branded<string, 'TaskId'>;
/** A UUID: the domain's UUID in libvirt and the instance id in the guest's metadata. */
export type VmUuid = Branded<string, 'VmUuid'>;
/** A UUID: the name of a volume's file on its node. */
export type VolumeUuid = Branded<string, 'VolumeUuid'>;
/** A UUID: the name of a snapshot's file on its node. */
export type SnapshotUuid = Branded<string, 'SnapshotUuid'>;
