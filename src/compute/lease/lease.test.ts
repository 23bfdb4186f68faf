import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { fencedFile, Lease, LeaseLost, readLease } from './lease.js';

describe('the lease of a node', () => {
  let folder: string;
  let now: number;
  let lease: Lease;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'baton-lease-'));
    now = 1_000_000;
    lease = new Lease(folder, () => now);
  });

  afterEach(() => rmSync(folder, { recursive: true }));

  const after = (seconds: number): void => void (now += seconds * 1000);

  it('is not held before a registration', () => {
    expect(lease.held).toBe(false);
    expect(() => lease.assertHeld()).toThrow(LeaseLost);
  });

  it('ends a term after the sending of what was answered last, however late the answer came', () => {
    lease.begin(now, 10);
    const sentAt = now + 5_000;
    after(9);
    expect(lease.renew(sentAt)).toBe(true);
    after(5.9);
    expect(lease.held).toBe(true);
    after(0.1);
    expect(lease.held).toBe(false);
  });

  it('that has run out is not renewed, but begun anew', () => {
    lease.begin(now, 10);
    after(10);
    expect(lease.renew(now)).toBe(false);
    expect(lease.held).toBe(false);
    lease.begin(now, 10);
    expect(lease.held).toBe(true);
  });

  it('is lost when the watchdog has fenced, though time would be left', () => {
    lease.begin(now, 10);
    writeFileSync(fencedFile(folder), '');
    expect(lease.renew(now)).toBe(false);
    lease.begin(now, 10);
    expect(existsSync(fencedFile(folder))).toBe(false);
    expect(lease.renew(now)).toBe(true);
  });

  it('does not become shorter by an answer that was overtaken', () => {
    lease.begin(now, 10);
    const earlier = now;
    after(5);
    lease.renew(now);
    lease.renew(earlier);
    after(9);
    expect(lease.held).toBe(true);
  });

  it('never ends under a conductor that names no term: it starts no VM elsewhere', () => {
    lease.begin(now, undefined);
    after(1e9);
    expect(lease.held).toBe(true);
  });

  it('is told to the watchdog that it is entrusted to, and to nobody before', () => {
    lease.begin(now, 10);
    expect(readLease(folder)).toBeUndefined();
    lease.entrust('watchdog-1');
    expect(readLease(folder)).toEqual({ until: now + 10_000, watchdog: 'watchdog-1', worker: process.pid });
    after(3);
    lease.renew(now);
    expect(readLease(folder)!.until).toBe(now + 10_000);
  });
});
