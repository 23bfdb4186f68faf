/**
 * Prices and usage, field for field as Infrahub's clients know them. Times of use are in minutes, money in the currency
 * of the configuration. There are no discounts: what is called non-discounted is the same again.
 */
import { ApiProperty } from '@nestjs/swagger';
import { apiTime, Envelope, type Page } from '../http/envelope.js';
import { costOf, grouped, hoursOf, money, rateOf, type Charge, type Window } from './charges.js';
import { FLOATING_IP, type PriceLine } from './price-book.js';
import type { ResourceKind, ResourceUsage, UsagePage, UsedResource } from './usage.service.js';
import type { UsageState } from './usage-period.entity.js';

const MINUTES = 60;
const minutesOf = (charges: readonly Charge[], state?: UsageState): number => money(hoursOf(charges, state) * MINUTES);

/** What Infrahub calls them where it names their type. */
export const TYPE: Readonly<Record<ResourceKind, string>> = { 'virtual-machine': 'vm', volume: 'volume' };

export class PriceFields {
  @ApiProperty({ type: 'integer', description: '0 where the operator has set no price.' })
  id: number;

  @ApiProperty({ description: 'Of the flavor or the volume type, of which a GB is meant; or Floating IP.' })
  name: string;

  @ApiProperty({ description: 'Per hour.' })
  value: number;

  @ApiProperty()
  original_value: number;

  @ApiProperty()
  discount_applied: boolean = false;

  @ApiProperty({ format: 'date-time' })
  start_time: string;

  @ApiProperty({ type: String, nullable: true, format: 'date-time' })
  end_time: string | null = null;

  constructor({ id, item, per_hour, started_at }: PriceLine) {
    this.id = id;
    this.name = item === FLOATING_IP ? 'Floating IP' : item;
    this.value = per_hour;
    this.original_value = per_hour;
    this.start_time = apiTime(started_at);
  }
}

class HistoryAttributes {
  @ApiProperty()
  id: string;

  @ApiProperty({ type: 'integer' })
  infrahub_id: number;

  @ApiProperty()
  resource_name: string;

  constructor({ id, name }: UsedResource) {
    this.id = String(id);
    this.infrahub_id = id;
    this.resource_name = name;
  }
}

class ListedAttributes extends HistoryAttributes {
  @ApiProperty()
  status: string;

  @ApiProperty({ type: 'integer', nullable: true })
  contract_id: number | null = null;

  constructor(resource: UsedResource) {
    super(resource);
    this.status = resource.status;
  }
}

class ListedMetrics {
  @ApiProperty()
  incurred_bill: number;

  @ApiProperty({ description: 'Of what is still held at the end of the time asked for.' })
  price_per_hour: number;

  @ApiProperty({ description: 'Minutes.' })
  usage_time: number;

  constructor(charges: readonly Charge[]) {
    this.incurred_bill = costOf(charges);
    this.price_per_hour = rateOf(charges);
    this.usage_time = minutesOf(charges);
  }
}

class DetailedMetrics extends ListedMetrics {
  @ApiProperty()
  non_discounted_bill: number;

  @ApiProperty()
  non_discounted_price_per_hour: number;

  constructor(charges: readonly Charge[]) {
    super(charges);
    this.non_discounted_bill = this.incurred_bill;
    this.non_discounted_price_per_hour = this.price_per_hour;
  }
}

class VmMetrics extends DetailedMetrics {
  @ApiProperty({ description: 'Minutes.' })
  usage_time_ACTIVE: number;

  @ApiProperty({ description: 'Minutes.' })
  usage_time_SHUTOFF: number;

  @ApiProperty({ description: 'Minutes.' })
  usage_time_HIBERNATED: number;

  constructor(charges: readonly Charge[]) {
    super(charges);
    this.usage_time_ACTIVE = minutesOf(charges, 'running');
    this.usage_time_SHUTOFF = minutesOf(charges, 'stopped');
    this.usage_time_HIBERNATED = minutesOf(charges, 'hibernated');
  }
}

class ListedResource {
  @ApiProperty()
  attributes: ListedAttributes;

  @ApiProperty()
  metrics: ListedMetrics;

  constructor({ resource, charges }: ResourceUsage) {
    this.attributes = new ListedAttributes(resource);
    this.metrics = new ListedMetrics(charges);
  }
}

class Pagination {
  @ApiProperty({ type: 'integer' })
  page: number;

  @ApiProperty({ type: 'integer' })
  pages: number;

  @ApiProperty({ type: 'integer' })
  per_page: number;

  constructor(count: number, { page, pageSize }: Page) {
    this.page = page;
    this.per_page = pageSize;
    this.pages = Math.max(1, Math.ceil(count / pageSize));
  }
}

class History {
  @ApiProperty({ type: 'integer' })
  org_id: number;

  @ApiProperty({ type: 'integer' })
  total_count: number;

  constructor(organizationId: number, count: number) {
    this.org_id = organizationId;
    this.total_count = count;
  }
}

export class ListedHistory extends History {
  @ApiProperty({ type: [ListedResource] })
  billing_history: ListedResource[];

  @ApiProperty()
  pagination: Pagination;

  constructor(organizationId: number, { count, usage }: UsagePage, page: Page) {
    super(organizationId, count);
    this.billing_history = usage.map((one) => new ListedResource(one));
    this.pagination = new Pagination(count, page);
  }
}

export class VmHistoryResponse extends Envelope {
  @ApiProperty()
  billing_history_vm: ListedHistory;

  constructor(history: ListedHistory) {
    super('Getting billing history of virtual machines successful');
    this.billing_history_vm = history;
  }
}

export class VolumeHistoryResponse extends Envelope {
  @ApiProperty()
  billing_history_volume: ListedHistory;

  constructor(history: ListedHistory) {
    super('Getting billing history of volumes successful');
    this.billing_history_volume = history;
  }
}

class DetailedVm {
  @ApiProperty()
  attributes: HistoryAttributes;

  @ApiProperty()
  metrics: VmMetrics;

  constructor({ resource, charges }: ResourceUsage) {
    this.attributes = new HistoryAttributes(resource);
    this.metrics = new VmMetrics(charges);
  }
}

export class VmDetails extends History {
  @ApiProperty({ type: [DetailedVm] })
  billing_history: DetailedVm[];

  constructor(organizationId: number, usage: ResourceUsage) {
    super(organizationId, 1);
    this.billing_history = [new DetailedVm(usage)];
  }
}

export class VmDetailsResponse extends Envelope {
  @ApiProperty()
  billing_history_vm_details: VmDetails;

  constructor(organizationId: number, usage: ResourceUsage) {
    super('Getting billing history of the virtual machine successful');
    this.billing_history_vm_details = new VmDetails(organizationId, usage);
  }
}

class DetailedVolumeAttributes extends HistoryAttributes {
  @ApiProperty({ type: 'integer', description: 'GB.' })
  subresource_amount: number;

  @ApiProperty({ description: 'The volume type.' })
  subresource_type: string;

  constructor(resource: UsedResource, { type, size }: VolumeMeasure) {
    super(resource);
    this.subresource_amount = size;
    this.subresource_type = type;
  }
}

export interface VolumeMeasure {
  readonly type: string;
  readonly size: number;
}

class DetailedVolume {
  @ApiProperty()
  attributes: DetailedVolumeAttributes;

  @ApiProperty()
  metrics: DetailedMetrics;

  constructor({ resource, charges }: ResourceUsage, measure: VolumeMeasure) {
    this.attributes = new DetailedVolumeAttributes(resource, measure);
    this.metrics = new DetailedMetrics(charges);
  }
}

export class VolumeDetails extends History {
  @ApiProperty({ type: [DetailedVolume] })
  billing_history: DetailedVolume[];

  constructor(organizationId: number, usage: ResourceUsage, measure: VolumeMeasure) {
    super(organizationId, 1);
    this.billing_history = [new DetailedVolume(usage, measure)];
  }
}

export class VolumeDetailsResponse extends Envelope {
  @ApiProperty()
  billing_history_volume_details: VolumeDetails;

  constructor(organizationId: number, usage: ResourceUsage, measure: VolumeMeasure) {
    super('Getting billing history of the volume successful');
    this.billing_history_volume_details = new VolumeDetails(organizationId, usage, measure);
  }
}

class GraphPoint {
  @ApiProperty({ format: 'date-time', description: 'Where the piece of time begins.' })
  datetime: string;

  @ApiProperty()
  value: number;
}

class GraphMetrics {
  @ApiProperty()
  incurred_bill: number;

  @ApiProperty({ type: [GraphPoint] })
  incurred_bill_graph: GraphPoint[];

  constructor(windows: readonly Window[], charges: readonly Charge[]) {
    this.incurred_bill = costOf(charges);
    const byWindow = grouped(charges, ({ window }) => window);
    this.incurred_bill_graph = windows.map(({ since }, index) => ({
      datetime: apiTime(since),
      value: costOf(byWindow.get(index) ?? []),
    }));
  }
}

class Graphed {
  @ApiProperty()
  attributes: HistoryAttributes;

  @ApiProperty()
  metrics: GraphMetrics;

  constructor(resource: UsedResource, windows: readonly Window[], charges: readonly Charge[]) {
    this.attributes = new HistoryAttributes(resource);
    this.metrics = new GraphMetrics(windows, charges);
  }
}

export class Graph extends History {
  @ApiProperty({ type: [Graphed] })
  billing_history: Graphed[];

  @ApiProperty({ type: 'integer', description: 'Seconds from one point to the next.' })
  granularity: number;

  constructor(organizationId: number, resource: UsedResource, granularity: number, windows: readonly Window[], charges: readonly Charge[]) {
    super(organizationId, 1);
    this.granularity = granularity;
    this.billing_history = [new Graphed(resource, windows, charges)];
  }
}

export class VmGraphResponse extends Envelope {
  @ApiProperty()
  billing_history_vm_details: Graph;

  constructor(graph: Graph) {
    super('Getting billing graph of the virtual machine successful');
    this.billing_history_vm_details = graph;
  }
}

export class VolumeGraphResponse extends Envelope {
  @ApiProperty({ description: 'Of the volume: the name is the one that clients were generated with.' })
  billing_history_snapshot_details: Graph;

  constructor(graph: Graph) {
    super('Getting billing graph of the volume successful');
    this.billing_history_snapshot_details = graph;
  }
}
