/** The labels of a VM: a set, replaced as a whole. */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { change } from '../audit/change.js';
import type { VmId } from '../../protocol/ids.js';
import { notFound } from '../http/api-error.js';
import type { Principal } from '../identity/principal.js';

@Injectable()
export class VmLabels {
  constructor(private readonly dataSource: DataSource) {}

  /** @returns the VM's name. */
  async replace(principal: Principal, id: VmId, labels: readonly string[]): Promise<string> {
    return change(this.dataSource, principal, async (transaction) => {
      // The lock lets of two requests at once one win as a whole.
      const [vm] = await transaction.query<{ name: string }[]>(
        'SELECT name FROM virtual_machine WHERE id = $1 AND organization_id = $2 AND deleted_at IS NULL FOR UPDATE',
        [id, principal.organizationId],
      );
      if (vm === undefined) throw notFound('The virtual machine');
      await transaction.query('DELETE FROM virtual_machine_label WHERE virtual_machine_id = $1 AND label <> ALL($2)', [id, labels]);
      await transaction.query(
        'INSERT INTO virtual_machine_label (virtual_machine_id, label) SELECT $1::int, unnest($2::text[]) ON CONFLICT DO NOTHING',
        [id, labels],
      );
      await transaction.query(
        `INSERT INTO event (organization_id, virtual_machine_id, user_id, reason, object, message)
         VALUES ($1, $2, $3, 'InstanceLabelsChanged', $4, $5)`,
        [principal.organizationId, id, principal.userId, vm.name, `Labels: ${labels.join(', ') || 'none'}.`],
      );
      return vm.name;
    });
  }
}
