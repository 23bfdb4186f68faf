/** A request for VMs as a profile holds it: without the wish to be kept itself, and every value as text. */
import type { ProfileData } from './profile.entity.js';

export const profileData = (request: object): ProfileData =>
  Object.fromEntries(
    Object.entries(request)
      .filter(([field, value]) => field !== 'profile' && value !== undefined && value !== null)
      .map(([field, value]) => [field, typeof value === 'string' ? value : JSON.stringify(value)]),
  );
