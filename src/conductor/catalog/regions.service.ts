/** Reads the regions; the operator writes them. */
import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import { Region } from './region.entity.js';
import { regionFields, type RegionFields } from './region.responses.js';

@Injectable()
export class RegionsService {
  constructor(@InjectRepository(Region) private readonly regions: Repository<Region>) {}

  async list(): Promise<RegionFields[]> {
    const regions = await this.regions.find({ order: { id: 'ASC' } });
    return regions.map(regionFields);
  }
}
