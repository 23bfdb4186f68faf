/** An id in a path. What cannot be an id of ours is simply not found: never a database error. */
import { Injectable, PipeTransform } from '@nestjs/common';
import { notFound } from './api-error.js';

const LARGEST_ID = 2 ** 31 - 1;

@Injectable()
export class ResourceId implements PipeTransform<string, number> {
  /** @param what is looked for, with its article: `The virtual machine`. */
  constructor(private readonly what: string) {}

  transform(value: string): number {
    const id = /^\d{1,10}$/.test(value) ? Number(value) : 0;
    if (id < 1 || id > LARGEST_ID) throw notFound(this.what);
    return id;
  }
}
