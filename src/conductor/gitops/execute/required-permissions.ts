/** What the service account must be allowed for an action: what the API asks of anybody for the same. */
import type { Permission } from '../../access/permissions.js';
import type { Kind } from '../manifest/resource.js';
import type { Action, Verb } from '../plan/plan.js';

const BY_VERB: Readonly<Record<Kind, Readonly<Record<Exclude<Verb, 'update'>, readonly Permission[]>>>> = {
  Environment: { create: ['environment:create'], replace: [], delete: ['environment:delete'] },
  Keypair: { create: ['keypair:create'], replace: ['keypair:delete', 'keypair:create'], delete: ['keypair:delete'] },
  Firewall: { create: ['firewall:create', 'firewall:update'], replace: [], delete: ['firewall:delete'] },
  Volume: { create: ['volume:create'], replace: [], delete: ['volume:delete'] },
  Profile: { create: ['profile:create'], replace: ['profile:delete', 'profile:create'], delete: ['profile:delete'] },
  VirtualMachine: {
    create: ['virtual-machine:create'],
    replace: ['virtual-machine:delete', 'virtual-machine:create'],
    delete: ['virtual-machine:delete'],
  },
};

/** Of an update: by the field. */
const BY_FIELD: Readonly<Record<string, Permission>> = {
  'Environment name': 'environment:update',
  'Keypair name': 'keypair:update',
  'Firewall rules': 'firewall:update',
  'Volume environment': 'volume:update',
  'Volume size': 'volume:update',
  'VirtualMachine labels': 'virtual-machine:update',
  'VirtualMachine callback_url': 'virtual-machine:update',
  'VirtualMachine flavor': 'virtual-machine:resize',
  'VirtualMachine power': 'virtual-machine:operate',
  'VirtualMachine security_rules': 'firewall:attach',
  'VirtualMachine firewalls': 'firewall:attach',
  'VirtualMachine volumes': 'volume:attach',
  'VirtualMachine floating_ip': 'floating-ip:attach',
};

export const requiredPermissions = ({ verb, identity, changes }: Action): readonly Permission[] =>
  verb === 'update' ? changes.map(({ field }) => BY_FIELD[`${identity.kind} ${field}`]!) : BY_VERB[identity.kind][verb];
