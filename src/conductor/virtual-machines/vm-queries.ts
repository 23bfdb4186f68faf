/** Reads VMs for the API. Every query has the organization in its WHERE clause; what is deleted is not there. */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { OrganizationId, VmId } from '../../protocol/ids.js';
import { notFound } from '../http/api-error.js';
import { apiTime } from '../http/envelope.js';
import { containing, pageOf } from '../http/page-query.js';
import { type ListVmsQuery } from './vm.requests.js';
import { InstanceResponse, InstancesResponse, type InstanceEventsFields, type InstanceFields } from './vm.responses.js';
import { renderVm, SELECT_VM, type VmRow } from './vm-view.js';

const VM = 'The virtual machine';

@Injectable()
export class VmQueries {
  constructor(private readonly dataSource: DataSource) {}

  async list(organizationId: OrganizationId, query: ListVmsQuery): Promise<InstancesResponse> {
    const { conditions, parameters } = filter(organizationId, query);
    const page = pageOf(query);
    const where = `WHERE ${conditions.join(' AND ')}`;
    const slice = page === undefined ? '' : ` LIMIT ${page.pageSize} OFFSET ${(page.page - 1) * page.pageSize}`;
    const [rows, total] = await Promise.all([
      this.dataSource.query<VmRow[]>(`${SELECT_VM} ${where} ORDER BY vm.id${slice}`, parameters),
      page === undefined ? undefined : this.count(where, parameters),
    ]);
    const response = new InstancesResponse('Getting virtual machines successful', total ?? rows.length, page);
    response.instances = rows.map(renderVm);
    return response;
  }

  async get(organizationId: OrganizationId, id: VmId): Promise<InstanceResponse> {
    return answer(await this.one(organizationId, 'vm.id = $2', [id]));
  }

  async getByName(organizationId: OrganizationId, environment: string, name: string): Promise<InstanceResponse> {
    return answer(await this.one(organizationId, 'e.name = $2 AND vm.name = $3', [environment, name]));
  }

  /** @throws ApiError 404 when the environment is not there; no VM with the label is an empty list. */
  async listByLabel(organizationId: OrganizationId, environment: string, label: string): Promise<InstancesResponse> {
    const rows = await this.dataSource.query<VmRow[]>(
      `${SELECT_VM} WHERE vm.organization_id = $1 AND vm.deleted_at IS NULL AND e.name = $2 AND e.deleted_at IS NULL
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

  private async one(organizationId: OrganizationId, condition: string, parameters: unknown[]): Promise<InstanceFields> {
    const [row] = await this.dataSource.query<VmRow[]>(
      `${SELECT_VM} WHERE vm.organization_id = $1 AND vm.deleted_at IS NULL AND ${condition}`,
      [organizationId, ...parameters],
    );
    if (row === undefined) throw notFound(VM);
    return renderVm(row);
  }

  private async count(where: string, parameters: unknown[]): Promise<number> {
    const [{ count }] = await this.dataSource.query<[{ count: number }]>(
      `SELECT count(*)::int AS count FROM virtual_machine vm JOIN environment e ON e.id = vm.environment_id ${where}`,
      parameters,
    );
    return count;
  }
}

function answer(instance: InstanceFields): InstanceResponse {
  const response = new InstanceResponse('Getting virtual machine detail successful');
  response.instance = instance;
  return response;
}

function filter(organizationId: OrganizationId, query: ListVmsQuery): { conditions: string[]; parameters: unknown[] } {
  const conditions = ['vm.organization_id = $1', 'vm.deleted_at IS NULL'];
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
