/** The host name that a guest gets: its VM's name, brought to what DNS, shells and YAML all read as one plain word. */
import { parse } from 'yaml';

const LONGEST_LABEL = 63;

export function hostnameFor(name: string, uuid: string): string {
  const label = dnsLabel(name) || `vm-${uuid.slice(0, 8)}`;
  // `123`, `1e5`, `no` and `null` are no strings in YAML; quoting them would confuse guests that read line by line.
  return parse(label, { version: '1.1' }) === label ? label : `vm-${label}`;
}

const dnsLabel = (name: string): string =>
  name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/\p{Mark}/gu, '')
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, LONGEST_LABEL - 'vm-'.length)
    .replace(/^-+|-+$/g, '');
