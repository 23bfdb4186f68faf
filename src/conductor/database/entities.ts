/** Every table that Baton has. `migrate --check` compares them with what the migrations make. */
import { CallbackDelivery } from '../callbacks/callback-delivery.entity.js';
import { SigningSecret } from '../callbacks/signing-secret.entity.js';
import { Flavor } from '../catalog/flavor.entity.js';
import { Image } from '../catalog/image.entity.js';
import { Region } from '../catalog/region.entity.js';
import { Environment } from '../environments/environment.entity.js';
import { Event } from '../events/event.entity.js';
import { ComputeNodeGpu } from '../fleet/compute-node-gpu.entity.js';
import { ComputeNodeHeartbeat } from '../fleet/compute-node-heartbeat.entity.js';
import { ComputeNode } from '../fleet/compute-node.entity.js';
import { JoinToken } from '../fleet/join-token.entity.js';
import { FloatingIp } from '../floating-ips/floating-ip.entity.js';
import { IdempotencyKey } from '../idempotency/idempotency-key.entity.js';
import { ApiKey } from '../identity/api-key.entity.js';
import { Organization } from '../identity/organization.entity.js';
import { UserAccount } from '../identity/user-account.entity.js';
import { Keypair } from '../keypairs/keypair.entity.js';
import { Task } from '../tasks/task.entity.js';
import { Incarnation } from '../virtual-machines/incarnation.entity.js';
import { VirtualMachineKeypair } from '../virtual-machines/virtual-machine-keypair.entity.js';
import { VirtualMachineLabel } from '../virtual-machines/virtual-machine-label.entity.js';
import { VirtualMachine } from '../virtual-machines/virtual-machine.entity.js';

export const ENTITIES = [
  Organization,
  UserAccount,
  ApiKey,
  Region,
  Flavor,
  Image,
  Environment,
  Keypair,
  ComputeNode,
  ComputeNodeGpu,
  ComputeNodeHeartbeat,
  JoinToken,
  VirtualMachine,
  Incarnation,
  VirtualMachineKeypair,
  VirtualMachineLabel,
  FloatingIp,
  Event,
  Task,
  CallbackDelivery,
  SigningSecret,
  IdempotencyKey,
];
