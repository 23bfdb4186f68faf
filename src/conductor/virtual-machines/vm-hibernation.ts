/**
 * What a hibernated VM gives up and takes again. It gives up CPU, memory and GPUs, which reports release once its node
 * has said that it is off, and its floating IP unless that is to be retained; its disk stays claimed. When it comes
 * back, it takes the same claim on the same node, or is told that there is no room and stays as it is.
 */
import type { EntityManager } from 'typeorm';
import type { VmHardware } from '../../protocol/task.js';
import { ApiError } from '../http/api-error.js';
import { claimOf, moveClaim } from './vm-claims.js';
import type { LockedVm } from './vm-wishes.js';

/** Whoever comes first gets the first free one; who holds one still (it never got as far as hibernating) keeps it. */
const ASSIGN_FLOATING_IP = `
  UPDATE floating_ip SET virtual_machine_id = $1
   WHERE id = (SELECT id FROM floating_ip WHERE region_id = $2 AND virtual_machine_id IS NULL
                ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
  RETURNING address`;

type Returning = Pick<LockedVm, 'hardware' | 'awaits_floating_ip'>;

/** The node takes the address from the guest at once; it is free for others when the VM is hibernated. */
export function withoutFloatingIp({ hardware, awaits_floating_ip }: Returning): { hardware: VmHardware; awaitsFloatingIp: boolean } {
  const { floatingIp, ...rest } = hardware;
  return { hardware: rest, awaitsFloatingIp: awaits_floating_ip || floatingIp !== undefined };
}

/** Whether the VM, to run or to be merely switched off, needs what it once gave up. */
export const hasGivenUp = ({ hibernated, awaits_floating_ip }: LockedVm): boolean => hibernated === true || awaits_floating_ip;

/**
 * Claims and address, as before. To be called in a savepoint: a refusal has to be undone.
 * @throws ApiError 409 when the node or the region has none left.
 */
export async function takeBack(savepoint: EntityManager, vm: LockedVm): Promise<{ hardware: VmHardware; awaitsFloatingIp: boolean }> {
  if (vm.hibernated === true)
    await moveClaim(
      savepoint,
      vm.incarnation_id!,
      claimOf(vm.hardware),
      `The compute node that holds the disk of ${vm.name} has no room for it just now. It stays ${vm.status}; try again later.`,
    );
  if (!vm.awaits_floating_ip) return { hardware: vm.hardware, awaitsFloatingIp: false };
  const floatingIp = vm.floating_ip ?? (await assignFloatingIp(savepoint, vm));
  return { hardware: { ...vm.hardware, floatingIp }, awaitsFloatingIp: false };
}

async function assignFloatingIp(savepoint: EntityManager, vm: LockedVm): Promise<string> {
  const [[assigned]] = await savepoint.query<[{ address: string }[], number]>(ASSIGN_FLOATING_IP, [vm.id, vm.region_id]);
  if (assigned !== undefined) return assigned.address;
  throw new ApiError(
    409,
    `${vm.name} gave its floating IP back when it was hibernated, and its region has none free. It stays ${vm.status}; release one and try again.`,
    'no_capacity',
  );
}
