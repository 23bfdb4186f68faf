/**
 * What a manifest can declare, and one resource as the planner compares it: every default filled in, every set sorted,
 * texts that are long or secret replaced by their digest. Two resources are the same when these are equal.
 */
import type { SecurityRuleSpec } from '../../../protocol/security-rule.js';
import type { ProfileData } from '../../profiles/profile.entity.js';

export const KINDS = ['Environment', 'Keypair', 'Firewall', 'Volume', 'Profile', 'VirtualMachine'] as const;
export type Kind = (typeof KINDS)[number];

export interface EnvironmentSpec {
  readonly region: string;
}

export interface KeypairSpec {
  readonly public_key: string;
}

export interface FirewallSpec {
  /** All of them, also those that every firewall has from the beginning. */
  readonly rules: readonly SecurityRuleSpec[];
}

export interface VolumeSpec {
  /** GiB. */
  readonly size: number;
  readonly type: string;
  /** What it is made of, and what boots from it; null for one that begins empty. */
  readonly image: string | null;
}

export interface ProfileSpec {
  readonly description: string;
  readonly data: ProfileData;
}

/** A size made to measure. */
export interface MeasuredFlavor {
  readonly cpu: number;
  readonly ram_mib: number;
  /** GB. */
  readonly disk: number;
  /** Empty for none. */
  readonly gpu: string;
  readonly gpu_count: number;
}

export interface VirtualMachineSpec {
  readonly flavor: string | MeasuredFlavor;
  /** Null: it boots from a volume that is there. */
  readonly image: string | null;
  /** The volume it boots from, by its name. */
  readonly boot_volume: string | null;
  /** Its root disk is a volume that was made with it and outlives it. */
  readonly create_bootable_volume: boolean;
  readonly keypairs: readonly string[];
  /** Digest of the text. */
  readonly user_data: string | null;
  readonly labels: readonly string[];
  readonly firewalls: readonly string[];
  readonly volumes: readonly string[];
  /** Its own, beside those of firewalls; all of them, also those that every machine has from the beginning. Null: not Git's business. */
  readonly security_rules: readonly SecurityRuleSpec[] | null;
  readonly callback_url: string | null;
  readonly floating_ip: boolean;
  /** `unmanaged`: what its owner does by hand is no drift. */
  readonly power: Power;
}

export type Power = 'running' | 'stopped' | 'hibernated' | 'unmanaged';

export interface SpecOf {
  readonly Environment: EnvironmentSpec;
  readonly Keypair: KeypairSpec;
  readonly Firewall: FirewallSpec;
  readonly Volume: VolumeSpec;
  readonly Profile: ProfileSpec;
  readonly VirtualMachine: VirtualMachineSpec;
}

/** Kind, environment and name: who a resource is. A rename is another resource. */
export interface Identity {
  readonly kind: Kind;
  /** Empty for what belongs to the organization itself: environments and profiles. */
  readonly environment: string;
  readonly name: string;
}

export type ResourceKey = string & { readonly __resourceKey: never };

/** No name can hold a slash. */
export const keyOf = ({ kind, environment, name }: Identity): ResourceKey => `${kind}/${environment}/${name}` as ResourceKey;

/** As people read it. */
export const titleOf = ({ kind, environment, name }: Identity): string =>
  environment === '' ? `${kind} ${name}` : `${kind} ${environment}/${name}`;

/** Where in the repository something is said. Lines count from 1. */
export interface Source {
  readonly file: string;
  readonly line: number;
}

interface Declared<K extends Kind> extends Identity {
  readonly kind: K;
  readonly spec: SpecOf[K];
  /** Never deleted and never replaced. */
  readonly protect: boolean;
  readonly source: Source;
}

export interface DeclaredVirtualMachine extends Declared<'VirtualMachine'> {
  /** What `spec.user_data` is the digest of. */
  readonly userData: string | null;
  readonly group: GroupMembership | null;
}

/** One of several machines that one document declares. */
export interface GroupMembership {
  /** Of the group, as the document has it. */
  readonly name: string;
  /** From 1. */
  readonly index: number;
  /** How many of the group a change may keep out of service at a time. */
  readonly maxUnavailable: number;
}

export type DeclaredResource =
  | Declared<'Environment'>
  | Declared<'Keypair'>
  | Declared<'Firewall'>
  | Declared<'Volume'>
  | Declared<'Profile'>
  | DeclaredVirtualMachine;

/** What is wrong with a manifest, and where. */
export interface ManifestProblem extends Source {
  /** As in `spec.rules[0].protocol`; empty when it is about a document or a file as a whole. */
  readonly field: string;
  readonly message: string;
}
