/**
 * A VM's place on the network of its environment: assigned by the conductor with the VM, the same on every node and for
 * as long as the VM is there.
 */
export interface NetworkSpec {
  /** IPv4 address that the guest gets by DHCP. */
  readonly address: string;
  /** Of the guest's card; follows from the address, so it is as unique. */
  readonly mac: string;
  /** The environment's, in CIDR; no two environments' subnets overlap. */
  readonly subnet: string;
  /** The node's own address there: the first of the subnet, on every node. */
  readonly gateway: string;
}
