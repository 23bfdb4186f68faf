import { describe, expect, it } from '@jest/globals';
import { regionStocks, type StockRow } from './stock.responses.js';

const row = (region: string, model: string | null, available = 0): StockRow => ({
  region,
  model,
  available,
  '1x': available,
  '2x': Math.floor(available / 2),
  '4x': 0,
  '8x': 0,
  '10x': 0,
});

describe('GPU stock', () => {
  it('is told by region, with counts as strings', () => {
    const [north, south] = regionStocks([row('north', 'A100', 3), row('north', 'L40', 0), row('south', 'A100', 1)]);
    expect(north).toMatchObject({ region: 'north', 'stock-type': 'GPU' });
    expect(north!.models.map(({ model, available }) => [model, available])).toEqual([['A100', '3'], ['L40', '0']]);
    expect(north!.models[0]!.configurations).toEqual({ '1x': 3, '2x': 1, '4x': 0, '8x': 0, '10x': 0 });
    expect(south!.models).toHaveLength(1);
  });

  it('names a region without GPUs too', () => {
    expect(regionStocks([row('plain', null)])).toEqual([{ region: 'plain', 'stock-type': 'GPU', models: [] }]);
  });
});
