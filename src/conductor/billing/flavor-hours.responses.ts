/** Hours per virtual machine and flavor. */
import { ApiProperty } from '@nestjs/swagger';
import { apiTime, PagedEnvelope, type Page } from '../http/envelope.js';
import { costOf, grouped, hoursOf, money, type Charge, type Window } from './charges.js';
import type { ResourceUsage, UsagePage } from './usage.service.js';

export class FlavorHoursFields {
  @ApiProperty({ type: 'integer' })
  virtual_machine_id: number;

  @ApiProperty()
  name: string;

  @ApiProperty()
  environment: string;

  @ApiProperty({ description: 'A VM that was resized is listed once with each of its flavors.' })
  flavor: string;

  @ApiProperty()
  running_hours: number;

  @ApiProperty()
  stopped_hours: number;

  @ApiProperty()
  hibernated_hours: number;

  @ApiProperty({ description: 'Without floating IPs.' })
  cost: number;

  constructor({ resource }: ResourceUsage, flavor: string, charges: readonly Charge[]) {
    this.virtual_machine_id = resource.id;
    this.name = resource.name;
    this.environment = resource.environment;
    this.flavor = flavor;
    this.running_hours = money(hoursOf(charges, 'running'));
    this.stopped_hours = money(hoursOf(charges, 'stopped'));
    this.hibernated_hours = money(hoursOf(charges, 'hibernated'));
    this.cost = costOf(charges);
  }
}

const fieldsOf = (usage: ResourceUsage): FlavorHoursFields[] =>
  [...grouped(usage.charges.filter(({ kind }) => kind === 'virtual-machine'), ({ item }) => item)].map(
    ([flavor, charges]) => new FlavorHoursFields(usage, flavor, charges),
  );

export class FlavorHoursResponse extends PagedEnvelope {
  @ApiProperty({ example: 'USD' })
  currency: string;

  @ApiProperty({ format: 'date-time' })
  start_date: string;

  @ApiProperty({ format: 'date-time' })
  end_date: string;

  @ApiProperty({ type: [FlavorHoursFields] })
  usage: FlavorHoursFields[];

  constructor(currency: string, { since, until }: Window, { count, usage }: UsagePage, page: Page) {
    super('Getting usage successful', count, page);
    this.currency = currency;
    this.start_date = apiTime(since);
    this.end_date = apiTime(until);
    this.usage = usage.flatMap(fieldsOf);
  }
}
