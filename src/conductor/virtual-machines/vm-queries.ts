/** Reads VMs for the API. Every query has the organization in its WHERE clause; what is deleted is not there. */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { OrganizationId, VmId } from '../../protocol/ids.js';
import { PreparedStatement } from '../database/prepared-statement.js';
import { notFound } from '../http/api-error.js';
import { apiTime, type Page } from '../http/envelope.js';
import { containing, pageOf } from '../http/page-query.js';
import { type ListVmsQuery } from './vm.requests.js';
import { InstanceResponse, InstancesResponse, type InstanceEventsFields } from './vm.responses.js';
import { renderVm, SELECT_VM, type VmRow } from './vm-view.js';

const VM = 'The virtual machine';
const LIVE = 'vm.organization_id = $1 AND vm.deleted_at IS NULL';

/** The page's ids first: what is shown of a VM is put together for those on the page, not for all before them. */
const onPage = (where: string, limit: string, offset: string): string => `
  WHERE vm.id IN (SELECT vm.id FROM virtual_machine vm JOIN environment e ON e.id = vm.environment_id ${where}
                   ORDER BY vm.id LIMIT ${limit} OFFSET ${offset})`;

/** What clients ask again and again while they wait; planning each of these takes longer than running it. */
const BY_ID = new PreparedStatement<VmRow>('virtual machine by id', `${SELECT_VM} WHERE ${LIVE} AND vm.id = $2`);
const BY_NAME = new PreparedStatement<VmRow>(
  'virtual machine by name',
  `${SELECT_VM} WHERE ${LIVE} AND e.name = $2 AND vm.name = $3`,
);
const UNFILTERED_PAGE = new PreparedStatement<VmRow>(
  'page of virtual machines',
  `${SELECT_VM} ${onPage(`WHERE ${LIVE}`, '$2', '$3')} ORDER BY vm.id`,
);

@Injectable()
export class VmQueries {
  constructor(private readonly dataSource: DataSource) {}

  async list(organizationId: OrganizationId, query: ListVmsQuery): Promise<InstancesResponse> {
    const { conditions, parameters } = filter(organizationId, query);
    const page = pageOf(query);
    const where = `WHERE ${conditions.join(' AND ')}`;
    const [rows, total] = await Promise.all([
      this.rows(where, parameters, page),
      page === undefined ? undefined : this.count(where, parameters),
    ]);
    const response = new InstancesResponse('Getting virtual machines successful', total ?? rows.length, page);
    response.instances = rows.map(renderVm);
    return response;
  }

  async get(organizationId: OrganizationId, id: VmId): Promise<InstanceResponse> {
    return answer(await BY_ID.run(this.dataSource, [organizationId, id]));
  }

  async getByName(organizationId: OrganizationId, environment: string, name: string): Promise<InstanceResponse> {
    return answer(await BY_NAME.run(this.dataSource, [organizationId, environment, name]));
  }

  /** @throws ApiError 404 when the environment is not there; no VM with the label is an empty list. */
  async listByLabel(organizationId: OrganizationId, environment: string, label: string): Promise<InstancesResponse> {
    const rows = await this.dataSource.query<VmRow[]>(
      `${SELECT_VM} WHERE ${LIVE} AND e.name = $2 AND e.deleted_at IS NULL
          AND EXISTS (SELECT 1 FROM virtual_machine_label l WHERE l.virtual_machine_id = vm.id AND l.label = $3)
        ORDER BY vm.id`,
      [organizationId, environment, label],
    );
    if (rows.length === 0) await this.requireEnvironment(organizationId, environment);
    const response = new InstancesResponse('Getting virtual machines successful', rows.length, undefined);
    response.instances = rows.map(renderVm);
    return response;
  }

  async requireEnvironment(organizationId: OrganizationId, environment: string): Promise<void> {
    const [row] = await this.dataSource.query<unknown[]>(
      'SELECT 1 FROM environment WHERE organization_id = $1 AND name = $2 AND deleted_at IS NULL',
      [organizationId, environment],
    );
    if (row === undefined) throw notFound(`The environment ${JSON.stringify(environment.slice(0, 60))}`);
  }

  /** Oldest first. The VM may be deleted: its history stays readable by id. */
  async events(organizationId: OrganizationId, id: VmId): Promise<InstanceEventsFields[]> {
    const rows = await this.dataSource.query<(Omit<InstanceEventsFields, 'time'> & { time: Date })[]>(
      `SELECT virtual_machine_id AS instance_id, user_id, organization_id AS org_id, time, type, reason, object, message
         FROM event WHERE organization_id = $1 AND virtual_machine_id = $2 ORDER BY id`,
      [organizationId, id],
    );
    if (rows.length === 0) throw notFound(VM);
    return rows.map((row) => ({ ...row, time: apiTime(row.time) }));
  }

  /** Whether the names that a creation would give are free in all environments of the organization. */
  async namesTaken(organizationId: OrganizationId, names: readonly string[]): Promise<boolean> {
    const [row] = await this.dataSource.query<unknown[]>(
      'SELECT 1 FROM virtual_machine WHERE organization_id = $1 AND name = ANY($2) AND deleted_at IS NULL LIMIT 1',
      [organizationId, names],
    );
    return row !== undefined;
  }

  private rows(where: string, parameters: unknown[], page: Page | undefined): Promise<VmRow[]> {
    if (page === undefined) return this.dataSource.query<VmRow[]>(`${SELECT_VM} ${where} ORDER BY vm.id`, parameters);
    const slice = [page.pageSize, (page.page - 1) * page.pageSize];
    if (where === `WHERE ${LIVE}`) return UNFILTERED_PAGE.run(this.dataSource, [...parameters, ...slice]);
    const [limit, offset] = slice.map((_, index) => `$${parameters.length + index + 1}`) as [string, string];
    return this.dataSource.query<VmRow[]>(`${SELECT_VM} ${onPage(where, limit, offset)} ORDER BY vm.id`, [...parameters, ...slice]);
  }

  private async count(where: string, parameters: unknown[]): Promise<number> {
    const [{ count }] = await this.dataSource.query<[{ count: number }]>(
      `SELECT count(*)::int AS count FROM virtual_machine vm JOIN environment e ON e.id = vm.environment_id ${where}`,
      parameters,
    );
    return count;
  }
}

/** @throws ApiError 404 when there is none. */
function answer([row]: VmRow[]): InstanceResponse {
  if (row === undefined) throw notFound(VM);
  const response = new InstanceResponse('Getting virtual machine detail successful');
  response.instance = renderVm(row);
  return response;
}

function filter(organizationId: OrganizationId, query: ListVmsQuery): { conditions: string[]; parameters: unknown[] } {
  const conditions = [LIVE];
  const parameters: unknown[] = [organizationId];
  const add = (condition: (parameter: string) => string, value: unknown): void => {
    parameters.push(value);
    conditions.push(condition(`$${parameters.length}`));
  };
  if (query.search !== undefined) add((p) => `vm.name ILIKE ${p}`, containing(query.search));
  if (query.environment !== undefined) {
    if (query.exact_environment_match === true) add((p) => `(e.name = ${p} OR e.id::text = ${p})`, query.environment);
    else if (/^\d+$/.test(query.environment)) add((p) => `e.id::text = ${p}`, query.environment);
    else add((p) => `e.name ILIKE ${p}`, containing(query.environment));
  }
  if (query.exclude_firewalls !== undefined)
    add(
      (p) => `NOT EXISTS (SELECT 1 FROM firewall_attachment a WHERE a.virtual_machine_id = vm.id AND a.firewall_id = ANY(${p}))`,
      query.exclude_firewalls,
    );
  for (const label of query.label ?? [])
    add((p) => `EXISTS (SELECT 1 FROM virtual_machine_label l WHERE l.virtual_machine_id = vm.id AND l.label = ${p})`, label);
  return { conditions, parameters };
}
