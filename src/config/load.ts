/**
 * Reads the settings from flags and environment (a flag wins), checks all of them and throws once, with every error
 * in it, so that a misconfigured process fails at boot and is put right in one go.
 */
import { SETTINGS, type Config, type Role, type SettingName } from './settings.js';

export class ConfigError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(`The configuration has ${problems.length} error(s):\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.name = 'ConfigError';
  }
}

export type Flags = Readonly<Record<string, string | boolean | undefined>>;
export type Environment = Readonly<Record<string, string | undefined>>;

/** Settings of other roles get their defaults, unchecked: a worker has no DATABASE_URL and needs none. */
export function loadConfig(roles: readonly Role[], flags: Flags, environment: Environment): Config {
  const config: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [name, setting] of Object.entries(SETTINGS)) {
    const ours = setting.roles.some((role) => roles.includes(role));
    const flag = setting.flag === undefined ? undefined : flags[setting.flag];
    const given = flag ?? environment[setting.env];
    const result = setting.schema.safeParse(ours && given !== '' ? given : undefined);
    if (result.success) config[name] = result.data;
    else if (ours) {
      const origin = flag !== undefined ? `--${setting.flag}` : setting.env;
      const what = given === undefined || given === '' ? 'is missing' : result.error.issues.map((i) => i.message).join('; ');
      problems.push(`${origin} ${what}. ${setting.help}`);
    }
  }
  if (problems.length === 0) problems.push(...contradictions(config as Config));
  if (problems.length > 0) throw new ConfigError(problems);
  return config as Config;
}

/** What no single setting can see. */
function contradictions(config: Config): string[] {
  const problems: string[] = [];
  if (config.nodeLeaseSeconds < 2 * config.heartbeatSeconds)
    problems.push('BATON_NODE_LEASE_SECONDS must be at least twice BATON_HEARTBEAT_SECONDS, or nodes flap.');
  if (config.environment === 'production' && config.egressAllow.some((range) => /^(127\.|::1|0\.0\.0\.0\/0|::\/0)/.test(range)))
    problems.push('BATON_EGRESS_ALLOW may not open loopback or everything in production; set BATON_ENV=development for that.');
  if (config.environment === 'production' && config.crashAt !== undefined)
    problems.push('BATON_CRASH_AT is for tests of recovery; set BATON_ENV=development for it.');
  for (const gpu of config.gpus)
    if ('count' in gpu !== (config.hypervisor === 'simulated'))
      problems.push(
        config.hypervisor === 'simulated'
          ? `BATON_GPUS: a simulated node has no devices; write ${gpu.model}:COUNT.`
          : `BATON_GPUS: ${gpu.model}:COUNT names no device; write ${gpu.model}=VENDOR:PRODUCT or ${gpu.model}@PCI_ADDRESS.`,
      );
  return problems;
}

/** Every setting with its meaning and its value in this process, for `--print-config`. */
export function printConfig(config: Config): string {
  return Object.entries(SETTINGS)
    .map(([name, setting]) => {
      const value = config[name as SettingName];
      const shown = value === undefined ? '' : setting.secret ? '(set)' : JSON.stringify(value);
      const flag = setting.flag ? `  (--${setting.flag})` : '';
      return `# ${setting.help}\n# Read by: ${setting.roles.join(', ')}\n${setting.env}=${shown}${flag}\n`;
    })
    .join('\n');
}
