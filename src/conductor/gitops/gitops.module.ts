/** Git as desired state: fetched, read, planned, carried out; and the API around it. */
import { Module } from '@nestjs/common';
import { CallbacksModule } from '../callbacks/callbacks.module.js';
import { EgressPolicy } from '../egress/egress-policy.js';
import { EgressModule } from '../egress/egress.module.js';
import { EnvironmentsModule } from '../environments/environments.module.js';
import { FirewallsModule } from '../firewalls/firewalls.module.js';
import { FloatingIpsModule } from '../floating-ips/floating-ips.module.js';
import { KeypairsModule } from '../keypairs/keypairs.module.js';
import { ProfilesModule } from '../profiles/profiles.module.js';
import { SecurityRulesModule } from '../security-rules/security-rules.module.js';
import { VirtualMachinesModule } from '../virtual-machines/virtual-machines.module.js';
import { VolumesModule } from '../volumes/volumes.module.js';
import { Execution } from './execute/execution.js';
import { ResourceActions } from './execute/resource-actions.js';
import { VirtualMachineActions } from './execute/virtual-machine-actions.js';
import { CommitStatusPoster } from './git/commit-status.js';
import { GitFetcher } from './git/git-fetcher.js';
import { Assessments } from './reconcile/assessment.js';
import { CommitReports } from './reconcile/commit-reports.js';
import { DesiredState } from './reconcile/desired-state.js';
import { RepositoryLeases } from './reconcile/leases.js';
import { Reconciler } from './reconcile/reconciler.js';
import { Snapshots } from './reconcile/snapshots.js';
import { Syncs } from './reconcile/syncs.js';
import { GitopsWatcher } from './reconcile/watcher.js';
import { ApplyController, SchemaController } from './repositories/apply.controller.js';
import { AppliedFilesService } from './repositories/applied-files.service.js';
import { GitRepositoriesController } from './repositories/git-repositories.controller.js';
import { GitRepositoriesService } from './repositories/git-repositories.service.js';
import { PreviewsService } from './repositories/previews.service.js';
import { PushWebhookController } from './repositories/push-webhook.controller.js';
import { PushesService } from './repositories/pushes.service.js';
import { SealedSecrets } from './sealed-secrets.js';
import { ActualState } from './state/actual-state.js';
import { Ownership } from './state/ownership.js';
import { References } from './state/references.js';

@Module({
  imports: [
    CallbacksModule,
    EgressModule,
    EnvironmentsModule,
    FirewallsModule,
    FloatingIpsModule,
    KeypairsModule,
    ProfilesModule,
    SecurityRulesModule,
    VirtualMachinesModule,
    VolumesModule,
  ],
  controllers: [SchemaController, ApplyController, PushWebhookController, GitRepositoriesController],
  providers: [
    ActualState,
    AppliedFilesService,
    Assessments,
    CommitReports,
    CommitStatusPoster,
    DesiredState,
    Execution,
    { provide: GitFetcher, inject: [EgressPolicy], useFactory: (egress: EgressPolicy) => new GitFetcher(egress) },
    GitRepositoriesService,
    GitopsWatcher,
    Ownership,
    PreviewsService,
    PushesService,
    Reconciler,
    References,
    RepositoryLeases,
    ResourceActions,
    SealedSecrets,
    Snapshots,
    Syncs,
    VirtualMachineActions,
  ],
})
export class GitopsModule {}
