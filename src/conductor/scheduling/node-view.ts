/**
 * A compute node as placement sees it: a snapshot, made by whoever loads the fleet, of what the node has and what is
 * claimed on it.
 *
 * It is a hint and nothing more: between the snapshot and the claim another conductor may take the room. The
 * conditional update that writes the claim is the judge; placement only proposes, and must never write to a view.
 */
import type { ComputeNodeId, RegionId } from '../../protocol/ids.js';

/** `vcpus` of a capacity is the physical count times the allocation ratio; of a usage, what VMs have claimed. */
export interface Amounts {
  readonly vcpus: number;
  readonly memoryMib: number;
  readonly diskGib: number;
}

export interface GpuStock {
  readonly total: number;
  readonly used: number;
}

export interface NodeView {
  readonly id: ComputeNodeId;
  readonly name: string;
  readonly regionId: RegionId;
  /** Its last heartbeat is within the lease. */
  readonly up: boolean;
  /** Keeps the VMs it has and gets no new ones. */
  readonly draining: boolean;
  /** Physical count, before the allocation ratio. */
  readonly cpus: number;
  readonly cpuAllocationRatio: number;
  readonly capacity: Amounts;
  readonly used: Amounts;
  /** By model; empty for a node without GPUs. */
  readonly gpus: ReadonlyMap<string, GpuStock>;
}
