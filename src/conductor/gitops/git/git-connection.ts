/**
 * How a repository is reached: at an address that egress permits and that Git cannot look up again (no DNS rebinding),
 * with the credentials of this repository and none of ours. Redirects are not followed, so a token goes to its host alone.
 */
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { EgressRefusedError } from '../../../egress/guarded-egress.js';
import type { EgressPolicy } from '../../egress/egress-policy.js';
import { GitError } from './git-error.js';
import type { GitUrl } from './git-url.js';

export type GitCredentials =
  | { readonly kind: 'token'; readonly username?: string; readonly token: string }
  | { readonly kind: 'deploy_key'; readonly privateKey: string };

export interface GitConnection {
  readonly settings: Readonly<Record<string, string>>;
  readonly environment: Readonly<Record<string, string>>;
  /** What the server showed as its host key, to be held to it next time. Undefined where TLS does that. */
  seenHostKeys(): Promise<string | undefined>;
}

export interface ConnectionOptions {
  readonly url: GitUrl;
  readonly credentials?: GitCredentials;
  /** From an earlier connection; without it the first key that is shown is trusted. */
  readonly hostKeys?: string;
  /** Private to this connection: keys are written to it. */
  readonly folder: string;
}

export async function prepareConnection(options: ConnectionOptions, egress: EgressPolicy): Promise<GitConnection> {
  const address = await egress.permittedAddress(options.url.host).catch((error: unknown) => {
    if (error instanceof EgressRefusedError) throw new GitError('refused', `The repository cannot be fetched: ${error.message}.`);
    throw new GitError('unreachable', `The name ${options.url.host} cannot be resolved at the moment.`);
  });
  return options.url.transport === 'ssh' ? await overSsh(options, address) : overHttp(options, address);
}

function overHttp({ url, credentials }: ConnectionOptions, address: string): GitConnection {
  const pinned = isIPv6(address) ? `[${address}]` : address;
  const settings: Record<string, string> = {
    'http.curloptResolve': `${url.host}:${url.port}:${pinned}`,
    'http.proxy': '',
    'http.lowSpeedLimit': '1000',
    'http.lowSpeedTime': '20',
  };
  if (credentials?.kind === 'token') {
    // Forges take any user name beside a token, GitHub this one.
    const pair = Buffer.from(`${credentials.username ?? 'x-access-token'}:${credentials.token}`).toString('base64');
    settings['http.extraHeader'] = `Authorization: Basic ${pair}`;
  }
  return { settings, environment: {}, seenHostKeys: () => Promise.resolve(undefined) };
}

async function overSsh({ url, credentials, hostKeys, folder }: ConnectionOptions, address: string): Promise<GitConnection> {
  const file = (name: string): string => join(folder, name);
  const known = file('known_hosts');
  await writeFile(known, hostKeys ?? '', { mode: 0o600 });
  if (credentials?.kind === 'deploy_key') {
    await writeFile(file('key'), `${credentials.privateKey.trimEnd()}\n`, { mode: 0o600 });
    await chmod(file('key'), 0o600);
  }
  const lines = [
    'Host *',
    `HostName ${address}`,
    `HostKeyAlias ${url.host}`,
    `UserKnownHostsFile ${known}`,
    'GlobalKnownHostsFile /dev/null',
    `StrictHostKeyChecking ${hostKeys === undefined ? 'accept-new' : 'yes'}`,
    'HashKnownHosts no',
    'UpdateHostKeys no',
    `IdentityFile ${credentials?.kind === 'deploy_key' ? file('key') : 'none'}`,
    'IdentitiesOnly yes',
    'IdentityAgent none',
    'BatchMode yes',
    'PreferredAuthentications publickey',
    'ConnectTimeout 10',
    'ServerAliveInterval 10',
    'ServerAliveCountMax 2',
    'ProxyCommand none',
    'ControlPath none',
    'PermitLocalCommand no',
    'ForwardAgent no',
    'ForwardX11 no',
    'ClearAllForwardings yes',
    'EscapeChar none',
    'LogLevel ERROR',
  ];
  await writeFile(file('ssh_config'), `${lines.join('\n')}\n`, { mode: 0o600 });
  return {
    settings: {},
    environment: {
      // The one command line that Git hands to a shell. It holds nothing but our own path.
      GIT_SSH_COMMAND: `ssh -F ${file('ssh_config')}`,
      GIT_SSH_VARIANT: 'ssh',
    },
    seenHostKeys: async () => (await readFile(known, 'utf8')) || undefined,
  };
}
