import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { SETTINGS } from '../config/settings.js';
import { configurationOf } from './print-config.js';

describe('--print-config', () => {
  it('says what docs/configuration.md says', () => {
    const [, documented] = /```\n(.*)```/s.exec(readFileSync('docs/configuration.md', 'utf8'))!;
    // To put it in step: node dist/main.js --print-config
    expect(documented).toBe(configurationOf('conductor', {}, {}));
  });

  it('shows the value in force, and where it may be set', () => {
    expect(configurationOf('conductor', { port: '9000' }, {})).toContain('BATON_PORT=9000  (--port)');
    expect(configurationOf('all-in-one', { hypervisor: 'auto' }, {})).toContain('BATON_ENV="development"');
  });

  it('shows no secret', () => {
    const secrets = Object.values(SETTINGS).filter((setting) => 'secret' in setting);
    const key = Buffer.alloc(32, 'hush').toString('base64');
    const valid: Readonly<Record<string, string>> = { AMQP_URL: 'amqp://u:hush-hush-hush-hush@h', BATON_SECRET_KEY: key };
    const environment = Object.fromEntries(secrets.map(({ env }) => [env, valid[env] ?? 'postgres://u:hush-hush-hush-hush@h']));
    expect(secrets.length).toBeGreaterThan(0);
    const shown = configurationOf('conductor', {}, environment);
    expect(shown).not.toContain('hush');
    expect(shown).not.toContain(key);
  });
});
