/**
 * What a guest is told about itself, in cloud-init's NoCloud format, and to programs in it in OpenStack's. Every document is written by a YAML serializer, so
 * no name, key or label can break out of its place; none is ever put together from strings.
 *
 * Guests without a YAML parser are served too: the first keys are plain words at the beginning of a line, and each
 * public key stands on one line of its own.
 */
import { stringify } from 'yaml';
import type { VmId } from '../../protocol/ids.js';
import { hostnameFor } from './hostname.js';

export interface GuestIdentity {
  readonly uuid: string;
  readonly name: string;
  readonly region: string;
  readonly publicKeys: readonly string[];
}

/** YAML 1.1 is what cloud-init's parser reads: there `yes` must be quoted to stay a string. Nothing is ever folded. */
const yaml = (document: unknown): string =>
  stringify(document, {
    version: '1.1',
    lineWidth: 0,
    blockQuote: false,
    doubleQuotedMinMultiLineLength: Number.MAX_SAFE_INTEGER,
    aliasDuplicateObjects: false,
  });

/** The instance id is the VM's: a reboot, or a second life on another node, is no new instance to cloud-init. */
export function metaData({ uuid, name, region, publicKeys }: GuestIdentity): string {
  const hostname = hostnameFor(name, uuid);
  return yaml({
    'instance-id': uuid,
    'local-hostname': hostname,
    hostname,
    'public-keys': publicKeys,
    'availability-zone': region,
    baton: { name },
  });
}

/**
 * As Infrahub's guests find it, and its CSI driver reads it. Whatever runs in the guest may ask for this one: it has nothing
 * that others there must not know.
 */
export function openstackMetaData({ vmId, uuid, name, region }: GuestIdentity & { readonly vmId: VmId }): string {
  const hostname = hostnameFor(name, uuid);
  return JSON.stringify({ uuid, name: hostname, hostname, availability_zone: region, meta: { hyperstack_vm_id: String(vmId) }, devices: [] });
}

/** The one network card, whatever the guest's kernel calls it, by DHCP. */
export const NETWORK_CONFIG = yaml({
  version: 2,
  ethernets: { primary: { match: { name: 'e*' }, dhcp4: true, dhcp6: false } },
});

/**
 * Has cloud-init phone home. Only the guest knows by which address it reached us (a proxy on its node stands between),
 * and cloud-init keeps it as `seedfrom`, with a slash at its end: its own template puts it in.
 */
export const VENDOR_DATA = `## template: jinja\n#cloud-config\n${yaml({
  phone_home: {
    url: '{{ ds.meta_data.seedfrom }}phone-home',
    post: ['instance_id', 'hostname', 'fqdn'],
    tries: 10,
  },
})}`;
