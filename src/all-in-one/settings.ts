/** What the all-in-one cloud sets differently from production, unless the environment says otherwise. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Environment } from '../config/load.js';

/** The clone: this file is in `src/all-in-one/` or `dist/all-in-one/` of it. */
export const CLONE = fileURLToPath(new URL('../..', import.meta.url));

/** Whoever runs it is the only user: callbacks and Git may go to loopback. */
const DEVELOPMENT: Environment = { BATON_ENV: 'development', BATON_EGRESS_ALLOW: '127.0.0.0/8,::1/128' };

export const withDevelopmentDefaults = (environment: Environment): Environment => ({ ...DEVELOPMENT, ...environment });

export const homeFolder = (environment: Environment): string => environment['BATON_VAR'] || join(CLONE, 'var');
