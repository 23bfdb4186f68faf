/** A declared machine as a client would ask the API for it: but for its name, and for what only a machine that is there can be given. */
import type { FlavorObjectFields } from '../../virtual-machines/size.request.js';
import type { CreateInstancesPayload } from '../../virtual-machines/vm.requests.js';
import type { MeasuredFlavor, VirtualMachineSpec } from './resource.js';
import { asSent, isDefault } from './rules.js';

export const MIB_PER_GB = 1024;

export function creationRequest(environment: string, spec: VirtualMachineSpec, userData: string | null): Omit<CreateInstancesPayload, 'name'> {
  return {
    environment_name: environment,
    ...sizeOf(spec.flavor),
    ...(spec.image !== null && { image_name: spec.image }),
    ...(spec.boot_volume !== null && { volume_name: spec.boot_volume }),
    ...(spec.create_bootable_volume && { create_bootable_volume: true }),
    key_names: [...spec.keypairs],
    labels: [...spec.labels],
    ...(userData !== null && { user_data: userData }),
    ...(spec.callback_url !== null && { callback_url: spec.callback_url }),
    ...(spec.security_rules !== null && { security_rules: spec.security_rules.filter((rule) => !isDefault(rule)).map(asSent) }),
    assign_floating_ip: spec.floating_ip,
  };
}

function sizeOf(flavor: VirtualMachineSpec['flavor']): Pick<CreateInstancesPayload, 'flavor' | 'flavor_name'> {
  return typeof flavor === 'string' ? { flavor_name: flavor } : { flavor: asMeasured(flavor) };
}

/** As the API takes it. */
export const asMeasured = ({ cpu, ram_mib, disk, gpu, gpu_count }: MeasuredFlavor): FlavorObjectFields => ({
  cpu,
  ram: ram_mib / MIB_PER_GB,
  disk,
  ...(gpu_count > 0 && { gpu, gpu_count }),
});
