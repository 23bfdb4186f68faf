/** Whether a VM's disk may stand on an image of the cache: looked at before every use, whoever looked before. */
import { ImageRefusedError, inspectDiskImage, type ImageFormat } from '../../image-format/disk-image.js';
import { HypervisorError } from '../hypervisor/hypervisor.js';

const GIB = 2 ** 30;

/** @throws HypervisorError when the image must not be used, or is larger than the disk that was claimed for the VM. */
export async function refuseUnfit(path: string, format: ImageFormat, imageName: string, diskGib: number): Promise<void> {
  try {
    await inspectDiskImage(path, format, diskGib * GIB);
  } catch (error) {
    if (!(error instanceof ImageRefusedError)) throw error;
    throw new HypervisorError(`The image '${imageName}' cannot be used: ${error.message}.`, false, { failure: 'image' });
  }
}
