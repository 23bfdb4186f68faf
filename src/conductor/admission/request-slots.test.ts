import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { OrganizationId } from '../../protocol/ids.js';
import { RequestSlots, type Holder, type Slot } from './request-slots.js';

const acme = 1 as OrganizationId;
const umbrella = 2 as OrganizationId;

function fill(slots: RequestSlots, holder: Holder): number {
  let entered = 0;
  while (typeof slots.enter(holder) === 'object') entered += 1;
  return entered;
}

const holders = fc.constantFrom<Holder>(acme, umbrella, 3 as OrganizationId, 'unknown', 'trusted');

describe('request slots', () => {
  it('are half for an organization that is alone, so that another one finds room', () => {
    const slots = new RequestSlots(12);
    expect(fill(slots, acme)).toBe(6);
    expect(slots.enter(acme)).toBe('unfair');
    expect(fill(slots, umbrella)).toBe(4);
    expect(typeof slots.enter(3 as OrganizationId)).toBe('object');
  });

  it('are all taken by nobody but those who are trusted', () => {
    const slots = new RequestSlots(4);
    expect(fill(slots, 'trusted')).toBe(4);
    expect(slots.enter(acme)).toBe('full');
  });

  it('that are taken before it is known for whom are a part of their own', () => {
    const slots = new RequestSlots(12);
    expect(fill(slots, 'unknown')).toBe(6);
    expect(slots.enter('unknown')).toBe('unfair');
    expect(typeof slots.enter(acme)).toBe('object');
  });

  it('count for an organization as soon as it is known, which may be one too many', () => {
    const slots = new RequestSlots(4);
    fill(slots, acme);
    const later = slots.enter('unknown') as Slot;
    expect(later.turnsOutToBe(acme)).toBe('unfair');
    expect(later.turnsOutToBe(umbrella)).toBeUndefined();
    expect([slots.heldBy(acme), slots.heldBy(umbrella), slots.heldBy('unknown')]).toEqual([2, 1, 0]);
  });

  it('are never more than there are, never leak, and are refused as unfair only to who holds his share', () => {
    const step = fc.record({ act: fc.constantFrom('enter', 'leave', 'leave twice', 'find out'), holder: holders, which: fc.nat() });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.array(step, { maxLength: 200 }), (total, steps) => {
        const slots = new RequestSlots(total);
        const open: { slot: Slot; holder: Holder }[] = [];
        for (const { act, holder, which } of steps) {
          const index = open.length === 0 ? -1 : which % open.length;
          if (act === 'enter') {
            const before = slots.heldBy(holder);
            const entered = slots.enter(holder);
            if (typeof entered === 'object') open.push({ slot: entered, holder });
            else if (entered === 'unfair') {
              expect(holder).not.toBe('trusted');
              expect(before).toBeGreaterThan(0);
              expect(slots.taken * 2).toBeGreaterThanOrEqual(total);
            } else expect(open).toHaveLength(total);
          } else if (index >= 0 && act === 'find out') {
            if (open[index]!.slot.turnsOutToBe(holder) === undefined) open[index]!.holder = holder;
          } else if (index >= 0) {
            const { slot } = open.splice(index, 1)[0]!;
            slot.leave();
            if (act === 'leave twice') slot.leave();
          }
          expect(slots.taken).toBe(open.length);
          expect(slots.taken).toBeLessThanOrEqual(total);
          for (const each of [acme, umbrella, 'unknown', 'trusted'] as const)
            expect(slots.heldBy(each)).toBe(open.filter((one) => one.holder === each).length);
        }
        for (const { slot } of open) slot.leave();
        expect(slots.taken).toBe(0);
      }),
    );
  });
});
