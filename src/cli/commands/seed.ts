/** Seeds a cloud of separate processes. The key and the SSH key are kept beside the image store, as bin/up keeps them. */
import { dirname, join } from 'node:path';
import { storeBuiltImage, storePlaceholderImage } from '../../all-in-one/demo-image.js';
import { EnvironmentFile } from '../../all-in-one/environment-file.js';
import { keepSshKeypair } from '../../all-in-one/ssh-keypair.js';
import { newSecret } from '../../conductor/identity/secrets.js';
import { migrate } from '../../conductor/database/migrate.js';
import { seed } from '../../conductor/seed/seed.js';
import type { Run } from './command.js';
import { print, withDatabase } from './database.js';

export const run: Run = async (invocation) =>
  await withDatabase(invocation, async (dataSource, config) => {
    const home = dirname(config.imageStore);
    const guestImage = invocation.flags['guest-image'];
    const image =
      typeof guestImage === 'string'
        ? await storeBuiltImage(guestImage, config.imageStore)
        : await storePlaceholderImage(config.imageStore);
    const { publicKey, privateKeyFile } = await keepSshKeypair(join(home, 'ssh'));
    const file = new EnvironmentFile(home);
    const entries = await file.read();
    const apiKey = entries.BATON_API_KEY ?? newSecret('key');
    await file.write({ ...entries, BATON_API_KEY: apiKey });
    await migrate(dataSource);
    const seeded = await seed(dataSource, { images: [image], floatingIps: [], subnets: config, publicKey, apiKey });
    print(`Region ${seeded.region}, environment ${seeded.environment}, image ${image.name}, flavor ${seeded.flavors[0]}`);
    print(`API key ${apiKey} (kept in ${file.path})\nSSH key ${privateKeyFile}`);
  });
