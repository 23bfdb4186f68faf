/** The body of the webhook for one change of a VM's status, in the form that Infrahub's receivers know. */
import type { InstanceFields } from './vm.dto.js';
import type { VmStatus } from './vm-status.js';

/** What was asked of the VM when it came to this status. */
const OPERATION: Readonly<Record<VmStatus, string>> = {
  CREATING: 'createInstance',
  BUILD: 'createInstance',
  ACTIVE: 'createInstance',
  STARTING: 'startInstance',
  STOPPING: 'stopInstance',
  SHUTOFF: 'stopInstance',
  REBOOTING: 'rebootInstance',
  ERROR: 'createInstance',
  DELETING: 'deleteInstance',
  DELETED: 'deleteInstance',
};

export const callbackBody = (vm: InstanceFields): string =>
  JSON.stringify({
    resource: { id: vm.id, name: vm.name, type: 'virtual_machine' },
    operation: { name: OPERATION[vm.status], status: vm.status },
    data: vm,
  });
