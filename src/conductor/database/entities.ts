/** Every table that Baton has. `migrate --check` compares them with what the migrations make. */
import { Role } from '../access/role.entity.js';
import { Price } from '../billing/price.entity.js';
import { UsagePeriod } from '../billing/usage-period.entity.js';
import { AuditEntry } from '../audit/audit-entry.entity.js';
import { CallbackDelivery } from '../callbacks/callback-delivery.entity.js';
import { SigningSecret } from '../callbacks/signing-secret.entity.js';
import { Flavor } from '../catalog/flavor.entity.js';
import { ImageTransfer } from '../catalog/image-transfer.entity.js';
import { Image } from '../catalog/image.entity.js';
import { Region } from '../catalog/region.entity.js';
import { ConsoleLogRequest } from '../console-logs/console-log-request.entity.js';
import { ConsoleSession } from '../consoles/console-session.entity.js';
import { Drift } from '../drift/drift.entity.js';
import { Environment } from '../environments/environment.entity.js';
import { Event } from '../events/event.entity.js';
import { ComputeNodeGpu } from '../fleet/compute-node-gpu.entity.js';
import { ComputeNodeHeartbeat } from '../fleet/compute-node-heartbeat.entity.js';
import { ComputeNode } from '../fleet/compute-node.entity.js';
import { JoinToken } from '../fleet/join-token.entity.js';
import { FirewallAttachment } from '../firewalls/firewall-attachment.entity.js';
import { Firewall } from '../firewalls/firewall.entity.js';
import { FloatingIp } from '../floating-ips/floating-ip.entity.js';
import { GitRepository } from '../gitops/git-repository.entity.js';
import { GitopsOwnership } from '../gitops/gitops-ownership.entity.js';
import { GitopsSnapshot } from '../gitops/gitops-snapshot.entity.js';
import { GitopsSync } from '../gitops/gitops-sync.entity.js';
import { IdempotencyKey } from '../idempotency/idempotency-key.entity.js';
import { AccessToken } from '../identity/access-token.entity.js';
import { ApiKey } from '../identity/api-key.entity.js';
import { Invite } from '../identity/invite.entity.js';
import { Membership } from '../identity/membership.entity.js';
import { Organization } from '../identity/organization.entity.js';
import { UserAccount } from '../identity/user-account.entity.js';
import { Keypair } from '../keypairs/keypair.entity.js';
import { EnvironmentQuota } from '../quotas/environment-quota.entity.js';
import { OrganizationQuota } from '../quotas/organization-quota.entity.js';
import { SecurityRule } from '../security-rules/security-rule.entity.js';
import { Profile } from '../profiles/profile.entity.js';
import { Snapshot } from '../snapshots/snapshot.entity.js';
import { MetricRollup } from '../metrics/metric-rollup.entity.js';
import { SampleBatchSeen } from '../metrics/sample-batch-seen.entity.js';
import { VmMetric } from '../metrics/vm-metric.entity.js';
import { Task } from '../tasks/task.entity.js';
import { Incarnation } from '../virtual-machines/incarnation.entity.js';
import { VirtualMachineKeypair } from '../virtual-machines/virtual-machine-keypair.entity.js';
import { VirtualMachineLabel } from '../virtual-machines/virtual-machine-label.entity.js';
import { VirtualMachine } from '../virtual-machines/virtual-machine.entity.js';
import { VolumeAttachment } from '../volumes/volume-attachment.entity.js';
import { Volume } from '../volumes/volume.entity.js';

export const ENTITIES = [
  Organization,
  UserAccount,
  Role,
  Membership,
  Invite,
  OrganizationQuota,
  ApiKey,
  AccessToken,
  Region,
  Flavor,
  Image,
  Environment,
  EnvironmentQuota,
  Keypair,
  ComputeNode,
  ComputeNodeGpu,
  ComputeNodeHeartbeat,
  JoinToken,
  ImageTransfer,
  VirtualMachine,
  Incarnation,
  VirtualMachineKeypair,
  VirtualMachineLabel,
  Volume,
  VolumeAttachment,
  Snapshot,
  FloatingIp,
  Firewall,
  FirewallAttachment,
  SecurityRule,
  Event,
  Task,
  CallbackDelivery,
  SigningSecret,
  IdempotencyKey,
  Profile,
  ConsoleLogRequest,
  AuditEntry,
  Price,
  UsagePeriod,
  ConsoleSession,
  VmMetric,
  MetricRollup,
  SampleBatchSeen,
  GitRepository,
  GitopsSnapshot,
  GitopsSync,
  GitopsOwnership,
  Drift,
];
