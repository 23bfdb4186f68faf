/**
 * Gets the host ready for the hypervisor that was decided on, and the image that goes with it. libvirt's daemons are
 * started where no service manager has done so, and left running when Baton stops: guests run on, and write their
 * consoles through virtlogd.
 */
import { join } from 'node:path';
import type { SeedImage } from '../conductor/seed/seed.js';
import { decideHypervisor, type Decision, type HypervisorName, type HypervisorWish } from './decide-hypervisor.js';
import { storeBuiltImage, storePlaceholderImage } from './demo-image.js';
import type { Folders } from './folders.js';
import { buildGuestImage, claimHost, installLibvirt, installationObstacle, missingPrograms } from './libvirt-host.js';
import type { Progress } from './progress.js';
import { CLONE } from './settings.js';

export interface HostWish {
  readonly hypervisor: HypervisorWish;
  readonly madeWith: HypervisorName | undefined;
  readonly installationAllowed: boolean;
}

export async function decideForThisHost({ hypervisor, madeWith, installationAllowed }: HostWish): Promise<Decision> {
  return decideHypervisor(hypervisor, madeWith, {
    root: process.getuid?.() === 0,
    missingPrograms: await missingPrograms(),
    installationObstacle: await installationObstacle(),
    installationAllowed,
  });
}

export const guestImageFolder = ({ data }: Folders): string => join(data, 'guest-image');

export async function prepareLibvirt({ install }: Decision, { home }: Folders, progress: Progress): Promise<void> {
  if (install) await installLibvirt(join(home, 'apt.log'), progress);
  await claimHost(home);
  const { ensureLibvirtDaemons } = await import('../compute/hypervisor/libvirt/daemons.js');
  await progress.step('Looking for the libvirt daemons', () => ensureLibvirtDaemons());
}

export interface ImageRequest {
  readonly hypervisor: HypervisorName;
  readonly folders: Folders;
  readonly imageStore: string;
  readonly signal: AbortSignal;
}

export async function prepareImage(request: ImageRequest, progress: Progress): Promise<SeedImage> {
  const { hypervisor, folders, imageStore, signal } = request;
  if (hypervisor === 'simulated') return await storePlaceholderImage(imageStore);
  const folder = guestImageFolder(folders);
  await progress.step('Preparing the guest image', () =>
    buildGuestImage(join(CLONE, 'guest-image/build.sh'), folder, signal),
  );
  return await storeBuiltImage(folder, imageStore);
}
