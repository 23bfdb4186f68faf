/** What an organization as a whole used, field for field as Infrahub's clients know it. */
import { ApiProperty } from '@nestjs/swagger';
import { apiTime, Envelope, type Page } from '../http/envelope.js';
import { TYPE } from './billing.responses.js';
import { costOf, hoursOf, money, rateOf, type Charge } from './charges.js';
import { FLOATING_IP } from './price-book.js';
import type { PricedPart, ResourceKind, ResourceUsage, UsagePage, UsedResource } from './usage.service.js';

const MINUTES = 60;

const onVms = (charges: readonly Charge[]): Charge[] => charges.filter(({ kind }) => kind !== 'volume');
const onVolumes = (charges: readonly Charge[]): Charge[] => charges.filter(({ kind }) => kind === 'volume');

class OrganizationAttributes {
  @ApiProperty()
  id: string;
}

class OrganizationMetrics {
  @ApiProperty()
  incurred_bill: number;

  @ApiProperty()
  non_discounted_bill: number;

  @ApiProperty({ description: 'With their floating IPs.' })
  vm_cost: number;

  @ApiProperty()
  volume_cost: number;

  @ApiProperty({ description: 'Snapshots have no price.' })
  snapshot_cost: number = 0;

  @ApiProperty({ description: 'There are no contracts.' })
  contract_cost: number = 0;

  constructor(charges: readonly Charge[]) {
    this.vm_cost = costOf(onVms(charges));
    this.volume_cost = costOf(onVolumes(charges));
    this.incurred_bill = costOf(charges);
    this.non_discounted_bill = this.incurred_bill;
  }
}

class OrganizationEntry {
  @ApiProperty()
  attributes: OrganizationAttributes;

  @ApiProperty()
  metrics: OrganizationMetrics;
}

export class OrganizationHistory {
  @ApiProperty({ type: [OrganizationEntry] })
  billing_history: OrganizationEntry[];

  @ApiProperty({ type: 'integer' })
  org_id: number;

  @ApiProperty({ type: 'integer' })
  total_count: number = 1;

  constructor(organizationId: number, charges: readonly Charge[]) {
    this.org_id = organizationId;
    this.billing_history = [
      { attributes: { id: String(organizationId) }, metrics: new OrganizationMetrics(charges) },
    ];
  }
}

export class OrganizationHistoryResponse extends Envelope {
  @ApiProperty()
  billing_history: OrganizationHistory;

  constructor(organizationId: number, charges: readonly Charge[]) {
    super('Getting billing history successful');
    this.billing_history = new OrganizationHistory(organizationId, charges);
  }
}

class LastDayCostFields {
  @ApiProperty({ description: 'With their floating IPs.' })
  instances_cost: number;

  @ApiProperty()
  volumes_cost: number;

  @ApiProperty({ description: 'There are no clusters.' })
  clusters_cost: number = 0;

  @ApiProperty()
  total_cost: number;

  constructor(charges: readonly Charge[]) {
    this.instances_cost = costOf(onVms(charges));
    this.volumes_cost = costOf(onVolumes(charges));
    this.total_cost = costOf(charges);
  }
}

export class LastDayCostResponse extends Envelope {
  @ApiProperty()
  data: LastDayCostFields;

  constructor(charges: readonly Charge[]) {
    super('Getting the cost of the last 24 hours successful');
    this.data = new LastDayCostFields(charges);
  }
}

export class UsageFields {
  @ApiProperty({ description: 'Whether it is still there.' })
  active: boolean;

  @ApiProperty()
  bill_per_minute: number;

  @ApiProperty({ format: 'date-time' })
  create_time: string;

  @ApiProperty({ type: String, nullable: true, format: 'date-time' })
  terminate_time: string | null;

  @ApiProperty()
  exclude_billing: boolean = false;

  @ApiProperty()
  name: string;

  @ApiProperty({ type: 'integer' })
  organization_id: number;

  @ApiProperty({ type: 'integer' })
  resource_id: number;

  @ApiProperty({ enum: Object.values(TYPE) })
  resource_type: string;

  @ApiProperty()
  total_bill: number;

  @ApiProperty({ description: 'Minutes.' })
  total_up_time: number;

  constructor(organizationId: number, kind: ResourceKind, { resource, charges }: ResourceUsage) {
    this.active = resource.deleted_at === null;
    this.bill_per_minute = money(rateOf(charges) / MINUTES);
    this.create_time = apiTime(resource.created_at);
    this.terminate_time = resource.deleted_at && apiTime(resource.deleted_at);
    this.name = resource.name;
    this.organization_id = organizationId;
    this.resource_id = resource.id;
    this.resource_type = TYPE[kind];
    this.total_bill = costOf(charges);
    this.total_up_time = money(hoursOf(charges) * MINUTES);
  }
}

export class UsageResponse extends Envelope {
  @ApiProperty({ type: [UsageFields], description: 'What is still there before what is gone.' })
  data: UsageFields[];

  @ApiProperty({ type: 'integer', description: 'All, not only those on the page.' })
  vm_count: number;

  @ApiProperty({ type: 'integer', description: 'All, not only those on the page.' })
  volume_count: number;

  constructor(organizationId: number, { vms, volumes }: { readonly vms: UsagePage; readonly volumes: UsagePage }, { page, pageSize }: Page) {
    const more = Math.max(vms.count, volumes.count) > page * pageSize;
    super(`Getting usage successful${more ? `; there is more on page=${page + 1}&per_page=${pageSize}` : ''}`);
    this.data = [
      ...vms.usage.map((one) => new UsageFields(organizationId, 'virtual-machine', one)),
      ...volumes.usage.map((one) => new UsageFields(organizationId, 'volume', one)),
    ];
    this.vm_count = vms.count;
    this.volume_count = volumes.count;
  }
}

const EVENT: Readonly<Record<Charge['state'], string>> = {
  running: 'ACTIVE',
  stopped: 'SHUTOFF',
  hibernated: 'HIBERNATED',
  held: 'ACTIVE',
};

export class BillingEventFields {
  @ApiProperty({ enum: ['ACTIVE', 'SHUTOFF', 'HIBERNATED'], description: 'What it was in that time.' })
  event: string;

  @ApiProperty({ format: 'date-time' })
  start: string;

  @ApiProperty({ description: 'Minutes.' })
  event_duration: number;

  @ApiProperty()
  price_per_hour: number;

  @ApiProperty()
  total_cost: number;

  @ApiProperty({ description: 'The flavor, the volume type, or Floating IP.' })
  item: string;

  constructor(charge: Charge) {
    this.event = EVENT[charge.state];
    this.start = apiTime(charge.since);
    this.event_duration = money(charge.hours * MINUTES);
    this.price_per_hour = money(charge.rate);
    this.total_cost = money(charge.cost);
    this.item = charge.item === FLOATING_IP ? 'Floating IP' : charge.item;
  }
}

export class BillingEventsResponse extends Envelope {
  @ApiProperty({ type: [BillingEventFields] })
  billing_events_history: BillingEventFields[];

  constructor(charges: readonly Charge[]) {
    super('Getting billing events successful');
    const inTime = charges.toSorted((a, b) => a.since.getTime() - b.since.getTime());
    this.billing_events_history = inTime.map((charge) => new BillingEventFields(charge));
  }
}

class PartFields {
  @ApiProperty()
  name: string;

  @ApiProperty({ enum: ['virtual-machine', 'volume', 'floating-ip'] })
  type: string;

  @ApiProperty({ type: 'integer', description: 'GB of a volume, 1 of everything else.' })
  amount: number;

  @ApiProperty({ description: 'Of one, per hour.' })
  rate: number;

  @ApiProperty()
  discounted_rate: number;

  @ApiProperty({ description: 'Of all, per hour.' })
  price: number;

  @ApiProperty()
  actual_price: number;

  constructor({ line, amount }: PricedPart) {
    this.name = line.item === FLOATING_IP ? 'Floating IP' : line.item;
    this.type = line.kind;
    this.amount = amount;
    this.rate = line.per_hour;
    this.discounted_rate = line.per_hour;
    this.price = money(line.per_hour * amount);
    this.actual_price = this.price;
  }
}

class RateOfResource {
  @ApiProperty()
  actual_price: number;

  @ApiProperty({ type: String, nullable: true, description: 'Where a VM is, is not told.' })
  host: string | null = null;

  @ApiProperty({ type: 'integer' })
  infrahub_id: number;

  @ApiProperty()
  name: string;

  @ApiProperty({ description: 'Per hour, as it is now.' })
  price: number;

  @ApiProperty({ type: [PartFields] })
  resources: PartFields[];

  @ApiProperty()
  status: string;

  @ApiProperty({ enum: Object.values(TYPE) })
  type: string;

  constructor(kind: ResourceKind, resource: UsedResource, parts: readonly PricedPart[]) {
    this.infrahub_id = resource.id;
    this.name = resource.name;
    this.status = resource.status;
    this.type = TYPE[kind];
    this.resources = parts.map((part) => new PartFields(part));
    this.price = money(this.resources.reduce((total, { price }) => total + price, 0));
    this.actual_price = this.price;
  }
}

class CalculatedBill {
  @ApiProperty({ type: 'integer' })
  org_id: number;

  @ApiProperty()
  resource: RateOfResource;
}

export class CalculatedBillResponse extends Envelope {
  @ApiProperty()
  calculated_resource_bills: CalculatedBill;

  constructor(organizationId: number, kind: ResourceKind, resource: UsedResource, parts: readonly PricedPart[]) {
    super('Calculating the price per hour successful');
    this.calculated_resource_bills = { org_id: organizationId, resource: new RateOfResource(kind, resource, parts) };
  }
}
