import { describe, expect, it } from '@jest/globals';
import { decideHypervisor, type HostFacts } from './decide-hypervisor.js';

const READY: HostFacts = { root: true, missingPrograms: [], installationObstacle: undefined, installationAllowed: true };
const BARE: HostFacts = { ...READY, missingPrograms: ['libvirtd', 'nft'] };

describe('the choice of the hypervisor', () => {
  it('is libvirt where it is there, and where it may be installed', () => {
    expect(decideHypervisor('auto', undefined, READY)).toEqual({ hypervisor: 'libvirt', install: false });
    expect(decideHypervisor('auto', undefined, BARE)).toEqual({ hypervisor: 'libvirt', install: true });
  });

  it.each([
    [{ ...READY, root: false }, /need root.*sudo bin\/up/],
    [{ ...BARE, installationAllowed: false }, /libvirtd, nft are missing, and --no-install forbids/],
    [{ ...BARE, installationObstacle: 'this is neither Debian nor Ubuntu' }, /neither Debian nor Ubuntu/],
  ])('is simulated elsewhere, saying why, and an error for who insists on real guests: %#', (host, why) => {
    const decision = decideHypervisor('auto', undefined, host);
    expect(decision).toMatchObject({ hypervisor: 'simulated', install: false });
    expect(decision.reason).toMatch(why);
    expect(() => decideHypervisor('libvirt', undefined, host)).toThrow(why);
  });

  it('stays what the cloud was made with', () => {
    expect(decideHypervisor('auto', 'simulated', READY)).toMatchObject({ hypervisor: 'simulated' });
    expect(() => decideHypervisor('libvirt', 'simulated', READY)).toThrow('bin/up --hypervisor libvirt --fresh');
  });

  it('never turns a cloud with real guests into a simulated one', () => {
    expect(() => decideHypervisor('auto', 'libvirt', { ...READY, root: false })).toThrow(/need root/);
  });
});
