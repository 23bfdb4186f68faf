import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { Readable } from 'node:stream';
import { ApiClient } from '../api-client.js';
import { UsageError } from '../command-line.js';
import { registerImage, type CliImage } from '../images.js';
import type { Run } from './command.js';

export const run: Run = async ({ flags, environment }) => {
  const file = flags['file'] as string;
  const found = await stat(file).catch(() => undefined);
  if (!found?.isFile()) throw new UsageError(`There is no file '${file}'.`);
  const api = new ApiClient(environment);
  const name = typeof flags['name'] === 'string' ? flags['name'] : basename(file).replace(/\.(qcow2|img|raw)$/i, '');
  const { id } = await registerImage(api, flags, { name });
  try {
    const content = Readable.toWeb(createReadStream(file)) as ReadableStream;
    const { image } = await api.call<{ image: CliImage }>('PUT', `/core/images/${id}/file`, content, found.size);
    process.stdout.write(`Image ${id} '${name}' is ${image.status}.\n`);
  } catch (error) {
    // A registration that nobody sends a file for would only keep the name.
    await api.call('DELETE', `/core/images/${id}`).catch(() => undefined);
    throw error;
  }
};
