import { describe, expect, it } from '@jest/globals';
import { grantedBy, grantedTo, requireHeld } from './granted.js';
import { ALL_PERMISSIONS } from './permissions.js';
import { POLICIES } from './policies.js';

const nothing = { permissions: [], policies: [] };

describe('what a member may do', () => {
  it('is everything for an owner, also one with a role', () => {
    expect([...grantedTo('owner', null)]).toEqual(ALL_PERMISSIONS);
    expect([...grantedTo('owner', nothing)]).toEqual(ALL_PERMISSIONS);
  });

  it('is looking without a role, but not at secrets', () => {
    const granted = grantedTo('member', null);
    expect(granted.has('virtual-machine:read')).toBe(true);
    expect(granted.has('signing-secret:read')).toBe(false);
    expect([...granted].every((permission) => permission.endsWith(':read'))).toBe(true);
  });

  it('is nothing with a role that has nothing', () => {
    expect([...grantedTo('member', nothing)]).toEqual([]);
  });

  it('is what the role has together with its policies, of which unknown names give nothing', () => {
    const granted = grantedBy({ permissions: ['image:delete', 'toString'], policies: ['KeypairFullAccess', '__proto__'] });
    expect([...granted].sort()).toEqual(['image:delete', 'keypair:create', 'keypair:delete', 'keypair:read', 'keypair:update']);
  });
});

it('nobody gives what he does not have', () => {
  const giver = grantedTo('member', null);
  expect(() => requireHeld(giver, new Set(['image:read']))).not.toThrow();
  expect(() => requireHeld(giver, new Set(['image:read', 'image:delete']))).toThrow(/what you do not have: image:delete/);
});

it('policies have names and numbers of their own', () => {
  for (const field of ['id', 'name'] as const)
    expect(new Set(POLICIES.map((policy) => policy[field])).size).toBe(POLICIES.length);
});
