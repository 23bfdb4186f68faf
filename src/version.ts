import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** Of this Baton. `#package` is package.json of the nearest package, wherever the code that asks was compiled to. */
export const { version } = require('#package') as { version: string };
