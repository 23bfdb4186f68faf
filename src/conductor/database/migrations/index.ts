/** Migrations in the order they run. A released one is never edited. */
import { InitialSchema1764000000000 } from './1764000000000-initial-schema.js';
import { Volumes1764100000000 } from './1764100000000-volumes.js';
import { SecurityRules1764200000000 } from './1764200000000-security-rules.js';
import { Hibernation1764300000000 } from './1764300000000-hibernation.js';
import { MembersRolesQuotas1764400000000 } from './1764400000000-members-roles-quotas.js';
import { ProfilesAndConsoleLogs1764500000000 } from './1764500000000-profiles-and-console-logs.js';
import { Snapshots1764600000000 } from './1764600000000-snapshots.js';
import { ImagesOfOrganizations1764610000000 } from './1764610000000-images-of-organizations.js';
import { ImageTransferProblems1764610000001 } from './1764610000001-image-transfer-problems.js';
import { EnvironmentSubnets1764620000000 } from './1764620000000-environment-subnets.js';
import { VolumesGrowBootAndTell1764630000000 } from './1764630000000-volumes-grow-boot-and-tell.js';
import { Consoles1764640000000 } from './1764640000000-consoles.js';
import { Metrics1764640000001 } from './1764640000001-metrics.js';
import { PricesAndUsage1764650000000 } from './1764650000000-prices-and-usage.js';
import { AccessTokens1764650000001 } from './1764650000001-access-tokens.js';
import { Audit1764650000002 } from './1764650000002-audit.js';
import { AnotherNode1764660000000 } from './1764660000000-another-node.js';
import { Draining1764660000001 } from './1764660000001-draining.js';
import { LostNodes1764660000002 } from './1764660000002-lost-nodes.js';
import { Drift1764670000000 } from './1764670000000-drift.js';
import { Gitops1764700000000 } from './1764700000000-gitops.js';
import { SnapshotQuotas1764700000001 } from './1764700000001-snapshot-quotas.js';
import { GitopsClaimsAndCommitStatuses1764710000000 } from './1764710000000-gitops-claims-and-commit-statuses.js';
import { EnvironmentQuotas1764720000000 } from './1764720000000-environment-quotas.js';
import { MadeVolumes1764730000000 } from './1764730000000-made-volumes.js';

export const MIGRATIONS = [
  InitialSchema1764000000000,
  Volumes1764100000000,
  SecurityRules1764200000000,
  Hibernation1764300000000,
  MembersRolesQuotas1764400000000,
  ProfilesAndConsoleLogs1764500000000,
  Snapshots1764600000000,
  ImagesOfOrganizations1764610000000,
  ImageTransferProblems1764610000001,
  EnvironmentSubnets1764620000000,
  VolumesGrowBootAndTell1764630000000,
  Consoles1764640000000,
  Metrics1764640000001,
  PricesAndUsage1764650000000,
  AccessTokens1764650000001,
  Audit1764650000002,
  AnotherNode1764660000000,
  Draining1764660000001,
  LostNodes1764660000002,
  Drift1764670000000,
  Gitops1764700000000,
  SnapshotQuotas1764700000001,
  GitopsClaimsAndCommitStatuses1764710000000,
  EnvironmentQuotas1764720000000,
  MadeVolumes1764730000000,
];
