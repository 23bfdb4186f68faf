/** The body of the webhook for one change of a VM's status, in the form that Infrahub's receivers know. */
import type { InstanceFields } from './vm.responses.js';
import type { VmStatus } from './vm-status.js';

/** What was asked of the VM when it came to this status, where the one before does not tell. */
const OPERATION: Readonly<Record<VmStatus, string>> = {
  CREATING: 'createInstance',
  BUILD: 'createInstance',
  ACTIVE: 'createInstance',
  STARTING: 'startInstance',
  STOPPING: 'stopInstance',
  SHUTOFF: 'stopInstance',
  REBOOTING: 'rebootInstance',
  HIBERNATING: 'shelveInstances',
  HIBERNATED: 'shelveInstances',
  RESTORING: 'unshelveInstances',
  RESIZING: 'resizeInstance',
  ERROR: 'createInstance',
  DELETING: 'deleteInstance',
  DELETED: 'deleteInstance',
};

/** In these it rests, whatever brought it there. */
const RESTING: readonly VmStatus[] = ['ACTIVE', 'SHUTOFF', 'HIBERNATED', 'ERROR'];

const operationName = (status: VmStatus, from: VmStatus): string =>
  OPERATION[RESTING.includes(status) && !RESTING.includes(from) ? from : status];

/** @param from the status before; a VM that is new has none. */
export const callbackBody = (vm: InstanceFields, from: VmStatus = vm.status): string =>
  JSON.stringify({
    resource: { id: vm.id, name: vm.name, type: 'virtual_machine' },
    operation: { name: operationName(vm.status, from), status: vm.status },
    data: vm,
  });
