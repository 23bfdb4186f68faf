/** How GPU stock looks from outside. Infrahub answers it without the usual envelope, and counts in strings. */
import { ApiProperty } from '@nestjs/swagger';

export const CONFIGURATIONS = ['1x', '2x', '4x', '8x', '10x'] as const;
export type Configuration = (typeof CONFIGURATIONS)[number];

const configuration = { type: 'integer', description: 'How many VMs with so many GPUs fit at this moment.' } as const;

export class StockConfigurations implements Record<Configuration, number> {
  @ApiProperty(configuration)
  '1x': number;

  @ApiProperty(configuration)
  '2x': number;

  @ApiProperty(configuration)
  '4x': number;

  @ApiProperty(configuration)
  '8x': number;

  @ApiProperty(configuration)
  '10x': number;
}

export class StockModel {
  @ApiProperty()
  model: string;

  @ApiProperty({ description: 'GPUs that are free on nodes that are up.', example: '3' })
  available: string;

  @ApiProperty({ type: String, nullable: true, description: 'Always null: the fleet makes no forecasts.' })
  planned_7_days: string | null;

  @ApiProperty({ type: String, nullable: true, description: 'Always null.' })
  planned_30_days: string | null;

  @ApiProperty({ type: String, nullable: true, description: 'Always null.' })
  planned_100_days: string | null;

  @ApiProperty()
  configurations: StockConfigurations;
}

export class RegionStock {
  @ApiProperty()
  region: string;

  @ApiProperty({ example: 'GPU' })
  'stock-type': string;

  @ApiProperty({ type: [StockModel] })
  models: StockModel[];
}

export class StocksResponse {
  @ApiProperty({ type: [RegionStock] })
  stocks: RegionStock[];

  constructor(stocks: RegionStock[]) {
    this.stocks = stocks;
  }
}

export interface StockRow extends Record<Configuration, number> {
  readonly region: string;
  /** Null for a region without GPUs. */
  readonly model: string | null;
  readonly available: number;
}

/** @param rows in the order of regions; those of one region stand together. */
export function regionStocks(rows: readonly StockRow[]): RegionStock[] {
  const stocks = new Map<string, RegionStock>();
  for (const row of rows) {
    const stock = stocks.get(row.region) ?? { region: row.region, 'stock-type': 'GPU', models: [] };
    stocks.set(row.region, stock);
    if (row.model !== null) stock.models.push(stockModel(row.model, row));
  }
  return [...stocks.values()];
}

const stockModel = (model: string, row: StockRow): StockModel => ({
  model,
  available: String(row.available),
  planned_7_days: null,
  planned_30_days: null,
  planned_100_days: null,
  configurations: { '1x': row['1x'], '2x': row['2x'], '4x': row['4x'], '8x': row['8x'], '10x': row['10x'] },
});
