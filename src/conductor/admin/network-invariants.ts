/** What must always be true of subnets and of the addresses in them. */
import type { Invariant } from './invariants.js';

export const NETWORK_INVARIANTS: readonly Invariant[] = [
  {
    name: 'address-has-one-vm',
    advice: 'Two VMs have one address, so one of them cannot be reached. Delete one and create it anew; report this as a defect.',
    violations: `
      SELECT 'address ' || host(vm.fixed_ip) AS subject, 'vms ' || string_agg(vm.id::text, ', ' ORDER BY vm.id) AS detail
        FROM virtual_machine vm WHERE vm.deleted_at IS NULL GROUP BY vm.fixed_ip HAVING count(*) > 1`,
  },
  {
    name: 'address-in-its-subnet',
    advice: 'The address of a VM is not one of those that the subnet of its environment has for VMs. Create the VM anew; report this as a defect.',
    violations: `
      SELECT 'vm ' || vm.id AS subject, format('%s, but its environment has %s', host(vm.fixed_ip), e.subnet) AS detail
        FROM virtual_machine vm JOIN environment e ON e.id = vm.environment_id
       WHERE vm.deleted_at IS NULL
         AND (e.subnet IS NULL OR NOT vm.fixed_ip << e.subnet
              OR host(vm.fixed_ip) IN (host(e.subnet), host(e.subnet::inet + 1), host(broadcast(e.subnet))))`,
  },
  {
    name: 'address-is-what-its-node-was-told',
    advice: 'A VM has another address than its node was told. Report this as a defect, with the events of the VM.',
    violations: `
      SELECT 'vm ' || vm.id AS subject, format('%s in %s, but the node was told %s', host(vm.fixed_ip), e.subnet, vm.hardware->'network') AS detail
        FROM virtual_machine vm JOIN environment e ON e.id = vm.environment_id
       WHERE vm.deleted_at IS NULL
         AND (vm.hardware->'network'->>'address', vm.hardware->'network'->>'subnet') IS DISTINCT FROM (host(vm.fixed_ip), e.subnet::text)`,
  },
];
