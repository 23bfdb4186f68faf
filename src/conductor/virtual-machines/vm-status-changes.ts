/**
 * What the world learns of a change of status: one event, and one webhook where the VM has a `callback_url`. Written
 * in the transaction of the change, so that neither is lost and none is told of what did not happen.
 */
import type { EntityManager } from 'typeorm';
import type { OrganizationId, UserId, VmId } from '../../protocol/ids.js';
import { PreparedStatement } from '../database/prepared-statement.js';
import { callbackBody } from './vm-callback.js';
import type { Observed, VmStatus } from './vm-status.js';
import { renderVm, SELECT_VM, type VmRow } from './vm-view.js';

export interface StatusChange {
  readonly vmId: VmId;
  readonly organizationId: OrganizationId;
  readonly name: string;
  readonly from: VmStatus;
  readonly status: VmStatus;
  readonly observed: Observed;
  readonly fault: string | null;
  /** Who asked for it; null when a worker reported it. */
  readonly userId: UserId | null;
  readonly hasCallback: boolean;
  /** What happened, where the two statuses do not tell it. */
  readonly event?: EventText;
}

export interface EventText {
  /** From Infrahub's catalogue of event names, where it has one. */
  readonly reason: string;
  readonly message: string;
}

const EVENT: Readonly<Record<VmStatus, EventText>> = {
  CREATING: { reason: 'InstanceCreationRequest', message: 'Creation was requested.' },
  BUILD: { reason: 'InstanceBuildStarted', message: 'A compute node is building the virtual machine.' },
  ACTIVE: { reason: 'InstanceCreationSuccess', message: 'The virtual machine is running.' },
  STARTING: { reason: 'InstanceStartRequest', message: 'Start was requested.' },
  STOPPING: { reason: 'InstanceStopRequest', message: 'Stop was requested.' },
  REBOOTING: { reason: 'InstanceRebootRequest', message: 'A hard reboot was requested.' },
  HIBERNATING: { reason: 'HibernateInstanceRequest', message: 'Hibernation was requested.' },
  HIBERNATED: { reason: 'HibernateInstanceSuccess', message: 'The virtual machine is hibernated.' },
  RESTORING: { reason: 'RestoreHibernationInstanceRequest', message: 'Restoration from hibernation was requested.' },
  RESIZING: { reason: 'InstanceResizeRequest', message: 'Another flavor was requested.' },
  SHUTOFF: { reason: 'InstanceStopSuccess', message: 'The virtual machine is switched off.' },
  ERROR: { reason: 'InstanceCreationFailed', message: 'The virtual machine is in error.' },
  DELETING: { reason: 'InstanceDeleteRequest', message: 'Deletion was requested.' },
  DELETED: { reason: 'InstanceDeleteSuccess', message: 'The virtual machine is gone.' },
};

/** What failed, by the status in which it did. */
const FAILURE: Readonly<Partial<Record<VmStatus, string>>> = {
  CREATING: 'InstanceCreationFailed',
  BUILD: 'InstanceCreationFailed',
  HIBERNATING: 'HibernateInstanceFailed',
  RESTORING: 'RestoreHibernationInstanceFailed',
  RESIZING: 'InstanceResizeFailed',
};

function eventText({ from, status, fault, event }: StatusChange): EventText {
  if (event !== undefined) return event;
  if (status === 'ACTIVE' && (from === 'SHUTOFF' || from === 'STARTING'))
    return { reason: 'InstanceStartSuccess', message: EVENT.ACTIVE.message };
  if (status === 'ACTIVE' && from === 'REBOOTING')
    return { reason: 'InstanceRebootSuccess', message: 'The virtual machine was reset.' };
  if (status === 'ACTIVE' && from === 'RESTORING')
    return { reason: 'RestoreHibernationInstanceSuccess', message: 'The virtual machine runs again.' };
  if ((status === 'ACTIVE' || status === 'SHUTOFF') && from === 'RESIZING')
    return { reason: 'InstanceResizeSuccess', message: 'The virtual machine has its new flavor.' };
  if (status === 'ERROR') return { reason: FAILURE[from] ?? 'InstanceFailed', message: fault ?? EVENT.ERROR.message };
  return EVENT[status];
}

const INSERT_EVENTS = new PreparedStatement(
  'insert events',
  `INSERT INTO event (organization_id, virtual_machine_id, user_id, type, reason, object, message)
   SELECT * FROM json_to_recordset($1) AS
     e(organization_id int, virtual_machine_id int, user_id int, type text, reason text, object text, message text)`,
);

export async function writeStatusChanges(transaction: EntityManager, changes: readonly StatusChange[]): Promise<void> {
  if (changes.length === 0) return;
  await INSERT_EVENTS.run(transaction, [
    JSON.stringify(
      changes.map((change) => ({
        organization_id: change.organizationId,
        virtual_machine_id: change.vmId,
        user_id: change.userId,
        type: change.status === 'ERROR' || change.event !== undefined ? 'warning' : 'normal',
        object: change.name,
        ...eventText(change),
      })),
    ),
  ]);
  const told = changes.filter((change) => change.hasCallback);
  if (told.length > 0) await writeCallbacks(transaction, told);
}

/** The body shows the VM as it was at each change, not as it is after the last of them. */
async function writeCallbacks(transaction: EntityManager, changes: readonly StatusChange[]): Promise<void> {
  const ids = changes.map((change) => change.vmId);
  const rows = await transaction.query<VmRow[]>(`${SELECT_VM} WHERE vm.id = ANY($1)`, [ids]);
  const byId = new Map(rows.map((row) => [row.id, row]));
  const deliveries = changes.map((change) => {
    const vm = byId.get(change.vmId)!;
    const { status, observed, fault } = change;
    return {
      organization_id: change.organizationId,
      virtual_machine_id: change.vmId,
      url: vm.callback_url,
      body: callbackBody(renderVm({ ...vm, status, observed, fault }), change.from),
    };
  });
  // One statement keeps the order of the changes: rows of one transaction share `now()`, so they are spaced by hand.
  await transaction.query(
    `INSERT INTO callback_delivery (id, organization_id, virtual_machine_id, url, body, created_at, available_at)
     SELECT gen_random_uuid(), (d->>'organization_id')::int, (d->>'virtual_machine_id')::int, d->>'url', d->>'body',
            clock_timestamp() + n * interval '1 microsecond', now()
       FROM json_array_elements($1) WITH ORDINALITY AS t(d, n)`,
    [JSON.stringify(deliveries)],
  );
}
