/**
 * Who owns what. A claim is written before the resource is made and bound to it afterwards, so that two repositories
 * cannot make one resource, and so that after a crash between the two it is known what was under way.
 *
 * Every write names the lease of the pass: one that lost it, because it was slow, changes nothing any more.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { UserId } from '../../../protocol/ids.js';
import type { Origin } from '../../audit/origin.js';
import { ApiError } from '../../http/api-error.js';
import { titleOf, type DeclaredResource, type Identity, type Kind } from '../manifest/resource.js';
import type { Owner } from './actual-state.js';

export interface LeasedOwner extends Owner {
  readonly lease: string;
  /** The service account. */
  readonly userId: UserId;
  /** What of the repository asks for it, for the audit. */
  readonly origin?: Origin;
}

export interface OwnedResource extends Identity {
  readonly id: number | null;
  readonly protect: boolean;
  readonly path: string;
  readonly line: number;
  readonly commit: string;
}

const HELD = 'EXISTS (SELECT 1 FROM git_repository g WHERE g.id = $1 AND g.lease = $2)';

/** What was made under a claim that was never bound: machines and volumes name who made them, the others the claim. */
const ADOPTABLE: Readonly<Record<Kind, string>> = {
  Environment: `SELECT e.id FROM environment e WHERE e.organization_id = o.organization_id AND e.name = o.name
                  AND e.deleted_at IS NULL AND e.gitops_claim = o.claim`,
  Keypair: `SELECT k.id FROM keypair k JOIN environment e ON e.id = k.environment_id WHERE e.organization_id = o.organization_id
              AND e.name = o.environment AND e.deleted_at IS NULL AND k.name = o.name AND k.gitops_claim = o.claim`,
  Firewall: `SELECT f.id FROM firewall f JOIN environment e ON e.id = f.environment_id WHERE e.organization_id = o.organization_id
               AND e.name = o.environment AND e.deleted_at IS NULL AND f.name = o.name AND f.gitops_claim = o.claim`,
  Volume: `SELECT v.id FROM volume v JOIN environment e ON e.id = v.environment_id WHERE v.organization_id = o.organization_id
             AND e.name = o.environment AND v.name = o.name AND v.deleted_at IS NULL AND v.user_id = $3`,
  Profile: `SELECT p.id FROM profile p WHERE p.organization_id = o.organization_id AND p.name = o.name AND p.gitops_claim = o.claim`,
  VirtualMachine: `SELECT vm.id FROM virtual_machine vm JOIN environment e ON e.id = vm.environment_id WHERE vm.organization_id = o.organization_id
                     AND e.name = o.environment AND vm.name = o.name AND vm.deleted_at IS NULL AND vm.user_id = $3`,
};

@Injectable()
export class Ownership {
  constructor(private readonly dataSource: DataSource) {}

  /** Binds what was made before a crash. */
  async adopt(owner: LeasedOwner): Promise<void> {
    const pending = await this.dataSource.query<{ kind: Kind }[]>(
      'SELECT DISTINCT kind FROM gitops_ownership WHERE git_repository_id = $1 AND resource_id IS NULL',
      [owner.id],
    );
    for (const { kind } of pending)
      await this.dataSource.query(
        `UPDATE gitops_ownership o SET resource_id = (${ADOPTABLE[kind]} LIMIT 1)
          WHERE o.git_repository_id = $1 AND o.resource_id IS NULL AND o.kind = '${kind}' AND ${HELD} AND $3::int IS NOT NULL`,
        [owner.id, owner.lease, owner.userId],
      );
  }

  /**
   * @returns what the resource has to bear that is made now. A claim that is still pending stays the same one: what a
   * pass that was thought dead makes of it late is then known for ours.
   * @throws ApiError 409 when another repository owns it.
   */
  async claim(owner: LeasedOwner, resource: DeclaredResource, commit: string): Promise<string> {
    const { kind, environment, name, protect, source } = resource;
    const [claimed] = await this.dataSource.query<{ claim: string }[]>(
      `WITH claimed AS (
         INSERT INTO gitops_ownership (git_repository_id, organization_id, kind, environment, name, protect, path, line, commit, claim)
         SELECT $1, $3, $4, $5, $6, $7, $8, $9, $10, gen_random_uuid() WHERE ${HELD}
         ON CONFLICT ON CONSTRAINT uq_gitops_ownership_identity DO UPDATE
            SET claim = CASE WHEN gitops_ownership.resource_id IS NULL THEN coalesce(gitops_ownership.claim, excluded.claim) ELSE excluded.claim END,
                resource_id = NULL, claimed_at = now(), protect = $7, path = $8, line = $9, commit = $10
          WHERE gitops_ownership.git_repository_id = $1
         RETURNING claim)
       SELECT * FROM claimed`,
      [owner.id, owner.lease, owner.organizationId, kind, environment, name, protect, source.file, source.line, commit],
    );
    if (claimed === undefined) throw new ApiError(409, `${titleOf(resource)} is another repository's: take it out of one of the two.`);
    return claimed.claim;
  }

  async bind(owner: LeasedOwner, identity: Identity, resourceId: number): Promise<void> {
    await this.write(owner, identity, 'UPDATE gitops_ownership SET resource_id = $6', [resourceId]);
  }

  /** Of what could not be made, or is gone. */
  async release(owner: LeasedOwner, identity: Identity): Promise<void> {
    await this.write(owner, identity, 'DELETE FROM gitops_ownership');
  }

  private async write(owner: LeasedOwner, { kind, environment, name }: Identity, change: string, more: unknown[] = []): Promise<void> {
    await this.dataSource.query(
      `${change} WHERE git_repository_id = $1 AND ${HELD} AND kind = $3 AND environment = $4 AND name = $5`,
      [owner.id, owner.lease, kind, environment, name, ...more],
    );
  }

  /** Writes down where a new commit declares what is owned, and forgets what is gone and no longer declared. */
  async record(owner: LeasedOwner, declared: readonly DeclaredResource[], present: readonly Identity[], commit: string): Promise<void> {
    const rows = declared.map(({ kind, environment, name, protect, source }) => ({ kind, environment, name, protect, ...source }));
    await this.dataSource.query(
      `UPDATE gitops_ownership o SET protect = d.protect, path = d.file, line = d.line, commit = $4
         FROM json_to_recordset($3) AS d(kind text, environment text, name text, protect boolean, file text, line int)
        WHERE o.git_repository_id = $1 AND ${HELD} AND (o.kind, o.environment, o.name) = (d.kind, d.environment, d.name)
          AND (o.protect, o.path, o.line) IS DISTINCT FROM (d.protect, d.file, d.line)`,
      [owner.id, owner.lease, JSON.stringify(rows), commit],
    );
    const known = [...rows, ...present].map(({ kind, environment, name }) => ({ kind, environment, name }));
    await this.dataSource.query(
      `DELETE FROM gitops_ownership o
        WHERE o.git_repository_id = $1 AND ${HELD} AND NOT EXISTS (
          SELECT 1 FROM json_to_recordset($3) AS k(kind text, environment text, name text)
           WHERE (k.kind, k.environment, k.name) = (o.kind, o.environment, o.name))`,
      [owner.id, owner.lease, JSON.stringify(known)],
    );
  }

  async list(owner: Owner): Promise<OwnedResource[]> {
    return await this.dataSource.query<OwnedResource[]>(
      `SELECT kind, environment, name, resource_id AS id, protect, path, line, commit FROM gitops_ownership
        WHERE git_repository_id = $1 AND organization_id = $2 ORDER BY kind, environment, name`,
      [owner.id, owner.organizationId],
    );
  }
}
