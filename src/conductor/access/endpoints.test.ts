import { describe, expect, it } from '@jest/globals';
import { authorize, endpointKey, ENDPOINTS } from './endpoints.js';
import { ALL_PERMISSIONS, PERMISSIONS, type Permission } from './permissions.js';

const may = (method: string, path: string, permissions: readonly Permission[]): boolean => {
  try {
    authorize(method, path, new Set(permissions));
    return true;
  } catch (error) {
    expect(error).toMatchObject({ status: 403, reason: 'forbidden' });
    return false;
  }
};

describe('the table of endpoints', () => {
  it('knows a route by its form, however its parameters are called or limited', () => {
    const forms = ['/v1/x/:id', '/v1/x/:vm_id(^\\d+$)', '/v1/x/{id}'].map((path) => endpointKey('get', path));
    expect(new Set(forms)).toEqual(new Set(['GET /v1/x/{}']));
    expect(endpointKey('HEAD', '/v1/x')).toBe('GET /v1/x');
  });

  it('refuses what it has no row for, also to who may do everything', () => {
    expect(may('GET', '/v1/core/unheard-of', ALL_PERMISSIONS)).toBe(false);
    expect(may('TRACE', '/v1/core/environments', ALL_PERMISSIONS)).toBe(false);
    expect(may('GET', '', ALL_PERMISSIONS)).toBe(false);
  });

  it.each(ALL_PERMISSIONS)('lets %s alone through where it is asked for, and nowhere else', (only) => {
    for (const [method, path, requirement] of ENDPOINTS)
      expect({ path, may: may(method, path, [only]) }).toEqual({ path, may: requirement === only || requirement === 'self' });
  });

  it('has no number twice among the permissions', () => {
    expect(new Set(Object.values(PERMISSIONS)).size).toBe(ALL_PERMISSIONS.length);
  });
});
