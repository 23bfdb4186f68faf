/**
 * Answers about usage: which VMs and volumes an organization had in a window of time, also those that are gone by now,
 * with what they used and what that costs.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { OrganizationId } from '../../protocol/ids.js';
import { containing, type SearchQuery } from '../http/page-query.js';
import { notFound } from '../http/api-error.js';
import type { Page } from '../http/envelope.js';
import { chargesOf, grouped, type Charge, type Window } from './charges.js';
import type { PriceLine } from './price-book.js';
import type { UsageKind } from './usage-period.entity.js';

/** What is listed by itself. */
export type ResourceKind = Exclude<UsageKind, 'floating-ip'>;

export interface UsedResource {
  readonly id: number;
  readonly name: string;
  readonly environment: string;
  readonly status: string;
  readonly created_at: Date;
  readonly deleted_at: Date | null;
}

export interface ResourceUsage {
  readonly resource: UsedResource;
  /** In the order of time. */
  readonly charges: readonly Charge[];
}

export interface UsagePage {
  readonly count: number;
  readonly usage: readonly ResourceUsage[];
}

/** The floating IP of a VM is part of what the VM costs. */
export const PARTS: Readonly<Record<ResourceKind, readonly UsageKind[]>> = {
  'virtual-machine': ['virtual-machine', 'floating-ip'],
  volume: ['volume'],
};

const WHAT: Readonly<Record<ResourceKind, string>> = { 'virtual-machine': 'The virtual machine', volume: 'The volume' };

const STATUS: Readonly<Record<ResourceKind, string>> = {
  'virtual-machine': 'r.status',
  volume: `CASE WHEN r.deleted_at IS NOT NULL THEN 'deleted' WHEN r.removal_requested_at IS NOT NULL THEN 'deleting'
            WHEN EXISTS (SELECT 1 FROM volume_attachment a WHERE a.volume_id = r.id AND a.status = 'ATTACHED') THEN 'in-use'
            ELSE 'available' END`,
};

const TABLE: Readonly<Record<ResourceKind, string>> = { 'virtual-machine': 'virtual_machine', volume: 'volume' };
const DELETED: Readonly<Record<ResourceKind, string>> = {
  'virtual-machine': 'r.deleted_at',
  volume: 'coalesce(r.removal_requested_at, r.deleted_at)',
};

const from = (kind: ResourceKind): string => `
    FROM ${TABLE[kind]} r JOIN environment e ON e.id = r.environment_id
   WHERE r.organization_id = $1`;

const select = (kind: ResourceKind): string => `
  SELECT r.id, r.name, e.name AS environment, ${STATUS[kind]} AS status, r.created_at, ${DELETED[kind]} AS deleted_at
  ${from(kind)}`;

const matching = (kind: ResourceKind): string => `
     AND r.created_at < $2 AND (${DELETED[kind]} IS NULL OR ${DELETED[kind]} > $3)
     AND ($4::text IS NULL OR r.name ILIKE $4) AND ($5::text IS NULL OR e.name = $5)
     AND ($6::boolean IS NULL OR (${DELETED[kind]} IS NOT NULL) = $6)`;

export interface ResourceFilter {
  readonly window: Window;
  readonly search?: SearchQuery['search'];
  readonly environment?: string;
  /** Undefined: both. */
  readonly deleted?: boolean;
  readonly page: Page;
  /** Otherwise in the order of their ids alone. */
  readonly livingFirst?: boolean;
}

/** Something that is held now, and how much of it. */
export interface PricedPart {
  readonly line: Omit<PriceLine, 'id' | 'started_at'>;
  readonly amount: number;
}

@Injectable()
export class UsageService {
  constructor(private readonly dataSource: DataSource) {}

  /** One page of those that existed in the window, oldest first, whether or not they used anything. */
  async list(organizationId: OrganizationId, kind: ResourceKind, filter: ResourceFilter): Promise<UsagePage> {
    const { window, search, environment, deleted, page, livingFirst } = filter;
    const filters = [
      organizationId,
      window.until,
      window.since,
      search === undefined ? null : containing(search),
      environment ?? null,
      deleted ?? null,
    ];
    const order = livingFirst === true ? `${DELETED[kind]} IS NOT NULL, r.id` : 'r.id';
    const rows = await this.dataSource.query<UsedResource[]>(`${select(kind)} ${matching(kind)} ORDER BY ${order} LIMIT $7 OFFSET $8`, [
      ...filters,
      page.pageSize,
      (page.page - 1) * page.pageSize,
    ]);
    const count = await this.count(kind, filters);
    const resourceIds = rows.map(({ id }) => id);
    const charges = await chargesOf(this.dataSource, organizationId, [window], { kinds: PARTS[kind], resourceIds });
    const byResource = grouped(charges, ({ resource_id }) => resource_id);
    return {
      count,
      usage: rows.map((resource) => ({ resource, charges: byResource.get(resource.id) ?? [] })),
    };
  }

  private async count(kind: ResourceKind, filters: readonly unknown[]): Promise<number> {
    const [row] = await this.dataSource.query<[{ count: number }]>(`SELECT count(*)::int AS count ${from(kind)} ${matching(kind)}`, [...filters]);
    return row.count;
  }

  /** @throws ApiError 404 for what never was the organization's. */
  async one(organizationId: OrganizationId, kind: ResourceKind, id: number): Promise<UsedResource> {
    const [resource] = await this.dataSource.query<UsedResource[]>(`${select(kind)} AND r.id = $2`, [organizationId, id]);
    if (resource === undefined) throw notFound(WHAT[kind]);
    return resource;
  }

  charges(organizationId: OrganizationId, windows: readonly Window[], kind?: ResourceKind, id?: number): Promise<Charge[]> {
    const kinds = kind === undefined ? Object.values(PARTS).flat() : PARTS[kind];
    const resourceIds = id === undefined ? undefined : [id];
    return chargesOf(this.dataSource, organizationId, windows, { kinds, resourceIds });
  }

  /** What of the resource costs something now. */
  async parts(organizationId: OrganizationId, kind: ResourceKind, id: number): Promise<PricedPart[]> {
    const rows = await this.dataSource.query<(PricedPart['line'] & { amount: number })[]>(
      `SELECT u.kind, u.item, u.amount, coalesce(p.per_hour, 0)::float8 AS per_hour
         FROM usage_period u LEFT JOIN price p ON p.kind = u.kind AND p.item = u.item AND p.ended_at IS NULL
        WHERE u.organization_id = $1 AND u.kind = ANY($2) AND u.resource_id = $3 AND u.ended_at IS NULL AND u.state <> 'hibernated'
        ORDER BY u.id`,
      [organizationId, PARTS[kind], id],
    );
    return rows.map(({ amount, ...line }) => ({ line, amount }));
  }

  /** Of a volume of the organization. */
  async measure(organizationId: OrganizationId, id: number): Promise<{ readonly type: string; readonly size: number }> {
    const [row] = await this.dataSource.query<{ type: string; size: number }[]>(
      'SELECT volume_type AS type, size_gib AS size FROM volume WHERE organization_id = $1 AND id = $2',
      [organizationId, id],
    );
    if (row === undefined) throw notFound(WHAT.volume);
    return row;
  }
}
