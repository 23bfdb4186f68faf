import { describe, expect, it } from '@jest/globals';
import { profileData } from './profile-data.js';
import { dataProblem } from './profile.requests.js';

describe('a request kept as a profile', () => {
  it('has every value as text, and not the wish to be kept', () => {
    const request = { name: 'web', count: 2, labels: ['a', 'b'], profile: { name: 'mine' }, user_data: undefined, assign_floating_ip: false };
    expect(profileData(request)).toEqual({ name: 'web', count: '2', labels: '["a","b"]', assign_floating_ip: 'false' });
  });

  it('is one that could also be sent as a profile', () => {
    expect(dataProblem(profileData({ name: 'web', user_data: '#!/bin/sh\n"'.repeat(5_000), count: 20 }))).toBeUndefined();
  });
});

describe('the data of a profile', () => {
  it.each([
    [['a'], 'data must be an object of texts'],
    [null, 'data must be an object of texts'],
    [{ count: 2 }, 'data: count must be a text; write lists and objects as JSON'],
    [{ text: 'nul\0' }, 'data: text has characters that cannot be stored'],
    [{ ['x'.repeat(101)]: '' }, 'data has a field whose name is too long or cannot be stored'],
    [Object.fromEntries(Array.from({ length: 51 }, (_, n) => [`field${n}`, ''])), 'data may have at most 50 fields'],
    [{ text: 'x'.repeat(200_000) }, 'data must not be larger than 163840 bytes'],
  ])('is refused where it could not be kept (%#)', (data, problem) => {
    expect(dataProblem(data)).toBe(problem);
  });
});
