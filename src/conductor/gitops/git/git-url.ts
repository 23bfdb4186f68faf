/**
 * The addresses of repositories that users may give: https, http, ssh, and ssh as `user@host:path`. What is accepted is
 * a narrow shape rather than everything but known attacks: Git takes transports (`ext::`, `fd::`), options and local
 * paths where a URL is expected, and ssh takes options where a host is.
 */
import { badRequest } from '../../http/api-error.js';
import type { EgressPolicy } from '../../egress/egress-policy.js';

export interface GitUrl {
  readonly transport: 'http' | 'ssh';
  /** As it is handed to Git. */
  readonly text: string;
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

const LONGEST_URL = 2_000;
const USER = '[A-Za-z0-9_][A-Za-z0-9._-]*';
const HOST = '[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?';
const IPV6 = '\\[[0-9A-Fa-f:.]+\\]';
/** The remote end may hand it to a shell: nothing that a shell, or an option, could be made of. */
const SSH_PATH = '[A-Za-z0-9~._][A-Za-z0-9._~/+@-]*';
const SSH_URL = new RegExp(`^ssh://(?:(?<user>${USER})@)?(?<host>${HOST}|${IPV6})(?::(?<port>\\d{1,5}))?/(?<path>${SSH_PATH})$`);
const SCP_LIKE = new RegExp(`^(?:(?<user>${USER})@)(?<host>${HOST}):(?<path>/?${SSH_PATH})$`);

const ACCEPTED = 'Give the repository as https://host/path, ssh://user@host/path or user@host:path.';

/** @throws ApiError 400 for what is no such address, or leads where this cloud does not connect to. */
export function parseGitUrl(text: string, egress: EgressPolicy): GitUrl {
  if (text.length > LONGEST_URL) throw badRequest(`The URL is longer than ${LONGEST_URL} characters.`);
  if (/^https?:/i.test(text)) return parseHttp(text, egress);
  const { host, port } = (SSH_URL.exec(text) ?? SCP_LIKE.exec(text))?.groups ?? {};
  if (host === undefined) throw badRequest(ACCEPTED);
  const url = { transport: 'ssh', text, host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port ?? 22) } as const;
  if (url.port < 1 || url.port > 65_535) throw badRequest(ACCEPTED);
  egress.checkUrl(`https://${host}/`);
  return url;
}

/** Where credentials go: those of one are for no other. */
export const serverOf = ({ transport, text, host, port }: GitUrl): string => `${transport === 'ssh' ? 'ssh:' : new URL(text).protocol}//${host.toLowerCase()}:${port}`;

function parseHttp(text: string, egress: EgressPolicy): GitUrl {
  egress.checkUrl(text);
  const { protocol, hostname, port, pathname, search, hash } = new URL(text);
  if (pathname === '/' || search !== '' || hash !== '') throw badRequest(ACCEPTED);
  const usual = protocol === 'https:' ? 443 : 80;
  return { transport: 'http', text, host: hostname.replace(/^\[(.*)\]$/, '$1'), port: port === '' ? usual : Number(port) };
}
