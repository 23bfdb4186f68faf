/**
 * Firewalls: named sets of security rules. A change of one raises the generation of every VM that it is attached to,
 * in the transaction of the change and by one statement (see ../security-rules/vm-network-update.ts).
 *
 * Races: whoever changes a firewall, attaches or deletes it, locks its row first, then the VMs. Two changes of one
 * firewall thus come one after the other, and none meets a VM with half of its rules.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { change } from '../audit/change.js';
import type { OrganizationId } from '../../protocol/ids.js';
import { DEFAULT_RULES } from '../../protocol/security-rule.js';
import { violatedUnique } from '../database/database-error.js';
import { alreadyExists, badRequest, notFound } from '../http/api-error.js';
import type { Page } from '../http/envelope.js';
import { containing } from '../http/page-query.js';
import type { Principal } from '../identity/principal.js';
import { checkedRule } from '../security-rules/checked-rule.js';
import { insertRule, sameRule } from '../security-rules/rule-rows.js';
import { ruleFields, type CreateSecurityRulePayload, type SecurityGroupRuleFields } from '../security-rules/security-rule.dto.js';
import { MOST_RULES } from '../security-rules/security-rules.service.js';
import { TaskRelay } from '../tasks/task-relay.js';
import { lockFirewalls, updateAttached } from './attachments.js';
import type { CreateFirewallPayload, FirewallSearch } from './firewall.requests.js';
import { firewallDetails, SELECT_FIREWALL, type FirewallDetailFields, type FirewallFields, type FirewallRow } from './firewall.responses.js';

const FIREWALL = 'The firewall';

const MATCHING = `e.organization_id = $1 AND e.deleted_at IS NULL AND ($2::text IS NULL OR f.name ILIKE $2)
  AND ($3::text IS NULL OR e.name = $3 OR e.id::text = $3)`;

@Injectable()
export class FirewallsService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly relay: TaskRelay,
  ) {}

  async list(
    organizationId: OrganizationId,
    { search, environment }: FirewallSearch,
    page: Page | undefined,
  ): Promise<{ firewalls: FirewallDetailFields[]; count: number }> {
    const parameters = [organizationId, search === undefined ? null : containing(search), environment ?? null];
    const rows = await this.dataSource.query<FirewallRow[]>(
      `${SELECT_FIREWALL} WHERE ${MATCHING} ORDER BY f.id LIMIT $4 OFFSET $5`,
      [...parameters, page?.pageSize ?? null, page === undefined ? 0 : (page.page - 1) * page.pageSize],
    );
    if (page === undefined) return { firewalls: rows.map(firewallDetails), count: rows.length };
    const [{ count }] = await this.dataSource.query<[{ count: number }]>(
      `SELECT count(*)::int AS count FROM firewall f JOIN environment e ON e.id = f.environment_id WHERE ${MATCHING}`,
      parameters,
    );
    return { firewalls: rows.map(firewallDetails), count };
  }

  async get(organizationId: OrganizationId, id: number): Promise<FirewallDetailFields> {
    return await this.read(this.dataSource, organizationId, id);
  }

  /** With the rules that a VM has from the beginning. */
  /** @param claim that Git makes it under. */
  async create(principal: Principal, payload: CreateFirewallPayload, claim: string | null = null): Promise<FirewallFields> {
    const { organizationId } = principal;
    const { environment_id, name } = payload;
    try {
      const { id, description, environment, created_at } = await change(this.dataSource, principal, async (transaction, concerns) => {
        const [environment] = await transaction.query<unknown[]>(
          'SELECT 1 FROM environment WHERE organization_id = $1 AND id = $2 AND deleted_at IS NULL FOR KEY SHARE',
          [organizationId, environment_id],
        );
        if (environment === undefined) throw notFound('The environment');
        const [{ id }] = await transaction.query<[{ id: number }]>(
          'INSERT INTO firewall (environment_id, name, description, gitops_claim) VALUES ($1, $2, $3, $4) RETURNING id',
          [environment_id, name, payload.description ?? '', claim],
        );
        concerns(id);
        for (const rule of DEFAULT_RULES) await insertRule(transaction, { firewall_id: id }, rule);
        return await this.read(transaction, organizationId, id);
      });
      return { id, name, description, environment, status: 'CREATING', created_at };
    } catch (error) {
      if (violatedUnique(error) === 'uq_firewall_environment_id_name')
        throw alreadyExists(`There is already a firewall '${name}' in this environment. Choose another name.`);
      throw error;
    }
  }

  async delete(principal: Principal, id: number): Promise<void> {
    const { organizationId } = principal;
    await change(this.dataSource, principal, async (transaction) => {
      await lockFirewalls(transaction, organizationId, [id]);
      const { attachments, name } = await this.read(transaction, organizationId, id);
      if (attachments.length > 0)
        throw badRequest(
          `The firewall '${name}' is attached to ${attachments.length} virtual machines, among them ${attachments[0]!.vm.name}. Detach it first.`,
        );
      await transaction.query('DELETE FROM firewall WHERE id = $1', [id]);
    });
  }

  async addRule(principal: Principal, id: number, payload: CreateSecurityRulePayload): Promise<SecurityGroupRuleFields> {
    const rule = checkedRule(payload);
    const row = await change(this.dataSource, principal, async (transaction) => {
      await lockFirewalls(transaction, principal.organizationId, [id]);
      const present = await sameRule(transaction, { firewall_id: id }, rule);
      if (present.same !== null) throw alreadyExists(`The firewall has this rule already: its id is ${present.same}.`);
      if (present.count >= MOST_RULES)
        throw badRequest(`The firewall has ${MOST_RULES} rules, as many as there may be. Delete some, or use another one.`);
      const made = await insertRule(transaction, { firewall_id: id }, rule);
      await updateAttached(transaction, principal.organizationId, id);
      return made;
    });
    this.relay.wake();
    return ruleFields({ ...row, confirmed: false });
  }

  async removeRule(principal: Principal, id: number, ruleId: number): Promise<void> {
    await change(this.dataSource, principal, async (transaction) => {
      await lockFirewalls(transaction, principal.organizationId, [id]);
      const [removed] = await transaction.query<[unknown[], number]>(
        'DELETE FROM security_rule WHERE id = $1 AND firewall_id = $2 RETURNING id',
        [ruleId, id],
      );
      if (removed.length === 0) throw notFound('The firewall rule');
      await updateAttached(transaction, principal.organizationId, id);
    });
    this.relay.wake();
  }

  private async read(on: DataSource | EntityManager, organizationId: OrganizationId, id: number): Promise<FirewallDetailFields> {
    const [row] = await on.query<FirewallRow[]>(
      `${SELECT_FIREWALL} WHERE e.organization_id = $1 AND e.deleted_at IS NULL AND f.id = $2`,
      [organizationId, id],
    );
    if (row === undefined) throw notFound(FIREWALL);
    return firewallDetails(row);
  }
}
