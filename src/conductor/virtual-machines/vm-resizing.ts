/**
 * The change of a VM's flavor: what its owner may ask for, and the claim moved by the difference. The VM keeps its node
 * and its disk, which can only grow; the worker stops it, makes it anew of the new hardware and starts it again.
 */
import type { EntityManager } from 'typeorm';
import type { VmHardware } from '../../protocol/task.js';
import { badRequest, notFound } from '../http/api-error.js';
import { customFlavorId, type CustomFlavor } from './custom-flavors.js';
import { claimOf, moveClaim } from './vm-claims.js';
import type { FlavorFacts } from './vm-view.js';
import type { LockedVm } from './vm-wishes.js';

/** An offered flavor by its name, or a size made to measure. */
export type WantedFlavor = string | CustomFlavor;

/**
 * To be called in a savepoint: a refusal has to be undone.
 * @throws ApiError 404 for a flavor that the region does not have, 400 for one that the VM cannot take, 409 without room.
 */
export async function takeFlavor(savepoint: EntityManager, vm: LockedVm, wanted: WantedFlavor): Promise<{ flavorId: number; hardware: VmHardware }> {
  const flavor = typeof wanted === 'string' ? await offered(savepoint, vm, wanted) : { ...wanted, id: await customFlavorId(savepoint, vm.region_id, wanted) };
  if (flavor.id === vm.flavor_id) throw badRequest(`${vm.name} has the flavor ${flavor.name} already.`);
  if (flavor.disk < vm.hardware.diskGib)
    throw badRequest(
      `${vm.name} has a disk of ${vm.hardware.diskGib} GB and ${flavor.name} has ${flavor.disk}: a disk can only grow. Choose a flavor with at least ${vm.hardware.diskGib} GB.`,
    );
  const hardware: VmHardware = {
    ...vm.hardware,
    vcpus: flavor.cpu,
    memoryMib: flavor.ram_mib,
    // One that boots from a volume has no disk of its own to grow.
    diskGib: vm.hardware.rootVolume === undefined ? flavor.disk : 0,
    gpu: flavor.gpu_count > 0 ? { model: flavor.gpu, count: flavor.gpu_count } : undefined,
    resizes: (vm.hardware.resizes ?? 0) + 1,
  };
  const refusal = `The compute node of ${vm.name} has no room for ${flavor.name}. It stays as it is; choose a smaller flavor, or create a new VM.`;
  await moveClaim(savepoint, vm.incarnation_id!, claimOf(hardware), refusal);
  return { flavorId: flavor.id, hardware };
}

async function offered(savepoint: EntityManager, vm: LockedVm, name: string): Promise<FlavorFacts> {
  const [flavor] = await savepoint.query<FlavorFacts[]>(
    'SELECT id, name, cpu, ram_mib, disk, gpu, gpu_count FROM flavor WHERE region_id = $1 AND name = $2 AND NOT custom',
    [vm.region_id, name],
  );
  if (flavor === undefined) throw notFound(`The flavor ${JSON.stringify(name)} in the region of ${vm.name}`);
  return flavor;
}
