/**
 * Writes the volumes of a VM that is there into its desired state: a new generation and a task. They are always derived
 * anew from the attachments. The caller has locked the VM.
 */
import type { EntityManager } from 'typeorm';
import type { VmId } from '../../protocol/ids.js';

/** Each SET reads the row as it was: a VM that is settled stays what it is meanwhile; one that switched itself off stays off. */
const UPDATE_VM = `
  WITH wanted AS (
    SELECT a.root, jsonb_build_object('uuid', v.uuid, 'sizeGib', v.size_gib) AS spec, a.id
      FROM volume_attachment a JOIN volume v ON v.id = a.volume_id
     WHERE a.virtual_machine_id = $1 AND a.status IN ('ATTACHING', 'ATTACHED')
  ), updated_vm AS (
    UPDATE virtual_machine vm
       SET generation = vm.generation + 1,
           operation = CASE WHEN vm.observed_generation >= vm.generation THEN 'update' ELSE vm.operation END,
           desired_power = CASE WHEN vm.observed_generation >= vm.generation AND vm.desired_power = 'running' AND vm.observed = 'stopped'
                                THEN 'stopped' ELSE vm.desired_power END,
           hardware = vm.hardware
                      || jsonb_build_object('volumes', coalesce((SELECT jsonb_agg(spec ORDER BY id) FROM wanted WHERE NOT root), '[]'))
                      || coalesce((SELECT jsonb_build_object('rootVolume', spec) FROM wanted WHERE root), '{}')
     WHERE vm.id = $1 RETURNING vm.id, vm.generation
  ), superseded AS (
    UPDATE task t SET state = 'superseded', finished_at = now() WHERE t.virtual_machine_id = $1 AND t.state = 'pending'
  )
  INSERT INTO task (id, compute_node_id, virtual_machine_id, incarnation_id, generation)
  SELECT gen_random_uuid(), i.compute_node_id, vm.id, i.id, vm.generation
    FROM updated_vm vm JOIN incarnation i ON i.virtual_machine_id = vm.id AND i.ended_at IS NULL`;

/** To be followed, after the commit, by waking the relay. */
export async function renewVmVolumes(transaction: EntityManager, vmId: VmId): Promise<void> {
  await transaction.query(UPDATE_VM, [vmId]);
}
