/** What a newcomer reads when the cloud is up: where it is, the key, what kind of guests, and the first thing to try. */
import { DEMO_IMAGE } from './demo-image.js';

/** Without a rule, nothing reaches a virtual machine. */
const SSH = {
  direction: 'ingress',
  ethertype: 'IPv4',
  protocol: 'tcp',
  remote_ip_prefix: '0.0.0.0/0',
  port_range_min: 22,
  port_range_max: 22,
};

export interface Announcement {
  readonly url: string;
  readonly apiKey: string;
  readonly environmentFile: string;
  readonly logFile: string;
  readonly privateKeyFile: string;
  readonly nodes: number;
  readonly hypervisor: string;
  readonly realGuests: boolean;
}

export function announcement(cloud: Announcement): string {
  const body = JSON.stringify({
    name: 'first',
    environment_name: 'demo',
    image_name: DEMO_IMAGE,
    flavor_name: 'tiny-1',
    key_name: 'demo',
    count: 1,
    security_rules: [SSH],
  });
  return `
  Baton is up.

  Address      ${cloud.url}    (API reference: ${cloud.url}/docs)
  API key      ${cloud.apiKey}
  Hypervisor   ${cloud.hypervisor}
  Nodes        ${cloud.nodes}
  SSH key      ${cloud.privateKeyFile}
  Environment  ${cloud.environmentFile}
  Log          ${cloud.logFile}

  Create your first virtual machine:

    curl -sS ${cloud.url}/v1/core/virtual-machines \\
      -H 'api_key: ${cloud.apiKey}' -H 'content-type: application/json' \\
      -d '${body}'

  and look at it:

    curl -sS ${cloud.url}/v1/core/virtual-machines -H 'api_key: ${cloud.apiKey}'

${cloud.realGuests ? `  Once it is ACTIVE:  ssh -i ${cloud.privateKeyFile} root@FIXED_IP\n\n` : ''}  Ctrl-C stops Baton; virtual machines run on, and the next bin/up continues with them.
`;
}
