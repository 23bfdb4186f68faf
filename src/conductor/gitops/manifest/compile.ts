/**
 * From the files of a repository to the resources that they declare: documents read, groups expanded, templates and
 * files filled in, names and rules checked as the API checks them. Pure but for giving other work its turn.
 *
 * A document that is wrong declares nothing and keeps no other. Two that declare the same resource are both wrong, so
 * that the order of documents never matters.
 */
import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { DEFAULT_RULES } from '../../../protocol/security-rule.js';
import { misshapenEnvironmentName, refusedEnvironmentName } from '../../environments/environment-name.js';
import { ApiError } from '../../http/api-error.js';
import { parsePublicKey } from '../../keypairs/openssh-public-key.js';
import { profileData } from '../../profiles/profile-data.js';
import { dataProblem } from '../../profiles/profile.requests.js';
import { checkedRule } from '../../security-rules/checked-rule.js';
import { VM_NAME_PATTERN, VM_NAME_RULE } from '../../virtual-machines/vm-names.js';
import { creationRequest, MIB_PER_GB } from './creation-request.js';
import { fieldName, isManifestFile, readDocuments, type ManifestFiles, type ReadDocument } from './read-documents.js';
import { keyOf, titleOf, type DeclaredResource, type FirewallSpec, type ManifestProblem, type ResourceKey, type VirtualMachineSpec } from './resource.js';
import { canonicalRules } from './rules.js';
import { ONE_AT_A_TIME, type DocumentOf } from './schema.js';
import { fillIn, groupNames, hasPlaceholder, unknownPlaceholder, type Placeholders } from './template.js';

const MOST_RESOURCES = 5_000;
/** As the API takes it. */
const USER_DATA_BYTES = 65_536;
/** Of all machines together, so that a small repository cannot fill the memory by a large count. */
const ALL_USER_DATA_BYTES = 64 * 1024 * 1024;
const MAX_NAME_LENGTH = 50;
const STORABLE = /^[^\0\p{Cs}]*$/u;

export interface CompiledManifest {
  readonly resources: readonly DeclaredResource[];
  readonly problems: readonly ManifestProblem[];
}

/** @param skipped files that could not be taken, with the reason: one that is a manifest might declare anything. */
export async function compileManifest(files: ManifestFiles, skipped: ReadonlyMap<string, string> = new Map()): Promise<CompiledManifest> {
  const { documents, problems } = await readDocuments(files);
  const unread = [...skipped]
    .filter(([file]) => isManifestFile(file))
    .map(([file, reason]): ManifestProblem => ({ file, line: 1, field: '', message: `is not read: ${reason}` }));
  const compilation = new Compilation(files, [...problems, ...unread]);
  for (const document of documents) compilation.add(document);
  return compilation.result();
}

const byPlace = (a: ManifestProblem, b: ManifestProblem): number => (a.file === b.file ? a.line - b.line : a.file < b.file ? -1 : 1);

class Refusal extends Error {
  constructor(
    readonly path: readonly (string | number)[],
    message: string,
  ) {
    super(message);
  }
}

class Compilation {
  private readonly resources: DeclaredResource[] = [];
  private readonly problems: ManifestProblem[];
  private userDataBytes = 0;

  constructor(
    private readonly files: ManifestFiles,
    problems: readonly ManifestProblem[],
  ) {
    this.problems = [...problems];
  }

  add(read: ReadDocument): void {
    try {
      const made = this.expand(read);
      if (this.resources.length + made.length > MOST_RESOURCES)
        throw new Refusal(['spec'], `the manifest declares more than ${MOST_RESOURCES} resources; use several repositories or paths`);
      this.resources.push(...made);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.problems.push({ file: read.file, line: read.lineOf(error.path), field: fieldName(error.path), message: error.message });
    }
  }

  result(): CompiledManifest {
    const byKey = new Map<ResourceKey, DeclaredResource[]>();
    for (const resource of this.resources) {
      const key = keyOf(resource);
      const same = byKey.get(key);
      if (same === undefined) byKey.set(key, [resource]);
      else same.push(resource);
    }
    const resources: DeclaredResource[] = [];
    for (const same of byKey.values()) {
      if (same.length === 1) resources.push(same[0]!);
      else
        for (const resource of same) {
          const others = same.filter((other) => other !== resource).map(({ source }) => `${source.file}:${source.line}`);
          this.problems.push({
            ...resource.source,
            field: 'metadata.name',
            message: `${titleOf(resource)} is declared more than once, also in ${[...new Set(others)].join(', ')}`,
          });
        }
    }
    return { resources, problems: this.problems.sort(byPlace) };
  }

  private expand(read: ReadDocument): DeclaredResource[] {
    const { document, file, line } = read;
    const protect = document.metadata.protect ?? false;
    const source = { file, line };
    switch (document.kind) {
      case 'Environment': {
        const name = plainName(document.metadata.name);
        const problem = misshapenEnvironmentName(name) ?? refusedEnvironmentName(name);
        if (problem !== undefined) throw new Refusal(['metadata', 'name'], problem);
        return [{ kind: 'Environment', environment: '', name, protect, source, spec: { region: document.spec.region } }];
      }
      case 'Keypair': {
        const name = shortName(plainName(document.metadata.name));
        const { environment } = document.metadata;
        const public_key = document.spec.public_key.trim();
        refused(['spec', 'public_key'], () => parsePublicKey(public_key));
        return [{ kind: 'Keypair', environment, name, protect, source, spec: { public_key } }];
      }
      case 'Firewall': {
        const name = shortName(plainName(document.metadata.name));
        const { environment } = document.metadata;
        return [{ kind: 'Firewall', environment, name, protect, source, spec: { rules: rulesOf('rules', document.spec.rules, document.spec.default_egress) } }];
      }
      case 'Volume': {
        const { environment, name } = document.metadata;
        const { size, type, image = null } = document.spec;
        return namesOf(name, document.spec.count).map(({ name }) => {
          return { kind: 'Volume', environment, name: shortName(name), protect, source, spec: { size, type, image } };
        });
      }
      case 'Profile': {
        const name = shortName(plainName(document.metadata.name));
        const problem = dataProblem(document.spec.data);
        if (problem !== undefined) throw new Refusal(['spec', 'data'], problem);
        return [{ kind: 'Profile', environment: '', name, protect, source, spec: document.spec }];
      }
      case 'VirtualMachine': {
        const template = this.userDataOf(document, file);
        return [...profileOf(document, template, { protect, source }), ...this.virtualMachines(document, template, { protect, source })];
      }
    }
  }

  private virtualMachines(document: DocumentOf<'VirtualMachine'>, template: string | null, common: Common): DeclaredResource[] {
    const { metadata, spec } = document;
    const { environment } = metadata;
    const group = namesOf(metadata.name, spec.count);
    if (spec.rollout !== undefined && spec.count === undefined) throw new Refusal(['spec', 'rollout'], 'is for groups: give spec.count too');
    const maxUnavailable = spec.rollout?.max_unavailable ?? ONE_AT_A_TIME;
    const canonical = canonicalSpec(document);
    // A text without placeholders is the same one for the whole group.
    let shared: string | undefined;
    return group.map(({ name, index }): DeclaredResource => {
      if (!VM_NAME_PATTERN.test(name)) throw new Refusal(['metadata', 'name'], `${JSON.stringify(name)}: a name ${VM_NAME_RULE}`);
      const placeholders: Placeholders = { name, environment, index: String(index), count: String(group.length) };
      const filled = (path: string[], texts: readonly string[]): string[] =>
        [...new Set(texts.map((text) => filledIn(path, text, placeholders)))].sort();
      const text = template === null ? null : fillIn(template, placeholders);
      const userData = text !== null && text === shared ? shared! : text;
      if (userData !== null && userData !== shared) this.chargeUserData(userData);
      shared = userData ?? undefined;
      const own: VirtualMachineSpec = {
        ...canonical,
        boot_volume: canonical.boot_volume === null ? null : filledIn(['spec', 'boot_volume'], canonical.boot_volume, placeholders),
        keypairs: filled(['spec', 'keypairs'], canonical.keypairs),
        user_data: userData === null ? null : digestOf(userData),
        labels: filled(['metadata', 'labels'], canonical.labels),
        firewalls: filled(['spec', 'firewalls'], canonical.firewalls),
        volumes: filled(['spec', 'volumes'], canonical.volumes),
      };
      if (own.boot_volume !== null && own.volumes.includes(own.boot_volume))
        throw new Refusal(['spec', 'volumes'], 'names the volume that it boots from: leave it out here');
      const membership = spec.count === undefined ? null : { name: metadata.name, index, maxUnavailable };
      return { kind: 'VirtualMachine', environment, name, ...common, spec: own, userData, group: membership };
    });
  }

  private userDataOf({ spec }: DocumentOf<'VirtualMachine'>, file: string): string | null {
    if (spec.user_data !== undefined && spec.user_data_file !== undefined)
      throw new Refusal(['spec', 'user_data_file'], 'cannot stand beside user_data: leave one of them out');
    const path = [spec.user_data === undefined ? 'user_data_file' : 'user_data'];
    const text = spec.user_data ?? this.textFile(spec.user_data_file, file);
    if (text === null) return null;
    if (!STORABLE.test(text)) throw new Refusal(['spec', ...path], 'must be text, without NUL characters');
    if (Buffer.byteLength(text) > USER_DATA_BYTES) throw new Refusal(['spec', ...path], 'must not be larger than 64 KiB');
    return text;
  }

  /** A file of the repository itself, and of nowhere else: it is looked up among those that were fetched. */
  private textFile(name: string | undefined, beside: string): string | null {
    if (name === undefined) return null;
    const content = this.files.get(posix.normalize(posix.join(posix.dirname(beside), name)));
    if (content === undefined)
      throw new Refusal(['spec', 'user_data_file'], `there is no file ${JSON.stringify(name)} beside ${beside}`);
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(content);
    } catch {
      throw new Refusal(['spec', 'user_data_file'], `${JSON.stringify(name)} is not UTF-8 text`);
    }
  }

  private chargeUserData(text: string): void {
    if (Buffer.byteLength(text) > USER_DATA_BYTES)
      throw new Refusal(['spec', 'user_data'], 'must not be larger than 64 KiB when its placeholders are filled in');
    this.userDataBytes += text.length;
    if (this.userDataBytes > ALL_USER_DATA_BYTES)
      throw new Refusal(['spec', 'user_data'], 'all user data of the manifest together must not be larger than 64 MiB');
  }
}

/** What is the same for all resources of a document. */
type Common = Pick<DeclaredResource, 'protect' | 'source'>;

/** With every default filled in, and placeholders as they stand. */
function canonicalSpec({ metadata, spec }: DocumentOf<'VirtualMachine'>): VirtualMachineSpec {
  return {
    flavor: flavorOf(spec.flavor),
    image: imageOf(spec),
    boot_volume: spec.boot_volume ?? null,
    create_bootable_volume: spec.create_bootable_volume,
    keypairs: spec.keypairs,
    user_data: null,
    labels: metadata.labels,
    firewalls: spec.firewalls,
    volumes: spec.volumes,
    security_rules: spec.security_rules === undefined ? null : rulesOf('security_rules', spec.security_rules, true),
    callback_url: spec.callback_url ?? null,
    floating_ip: spec.floating_ip,
    power: spec.power ?? 'unmanaged',
  };
}

/** What a document says of each of its machines, kept as the API keeps a request: without their names. */
function profileOf(document: DocumentOf<'VirtualMachine'>, userData: string | null, common: Common): DeclaredResource[] {
  const { metadata, spec } = document;
  if (spec.profile === undefined) return [];
  const name = shortName(spec.profile.name, ['spec', 'profile', 'name']);
  const data = profileData(creationRequest(metadata.environment, canonicalSpec(document), userData));
  const templated = [name, ...Object.values(data)].find(hasPlaceholder);
  if (templated !== undefined) throw new Refusal(['spec', 'profile'], 'cannot be kept of a document with placeholders, which mean nothing to whoever uses the profile');
  const problem = dataProblem(data);
  if (problem !== undefined) throw new Refusal(['spec', 'profile'], problem);
  return [{ kind: 'Profile', environment: '', name, ...common, spec: { description: spec.profile.description, data } }];
}

function flavorOf(flavor: DocumentOf<'VirtualMachine'>['spec']['flavor']): VirtualMachineSpec['flavor'] {
  if (typeof flavor === 'string') return flavor;
  const { cpu, ram, disk, gpu = '', gpu_count = 0 } = flavor;
  if ((gpu === '') !== (gpu_count === 0)) throw new Refusal(['spec', 'flavor'], 'has one of gpu and gpu_count: give both or none');
  return { cpu, ram_mib: Math.round(ram * MIB_PER_GB), disk, gpu, gpu_count };
}

function imageOf({ image, boot_volume, create_bootable_volume }: DocumentOf<'VirtualMachine'>['spec']): string | null {
  if (boot_volume === undefined && image === undefined) throw new Refusal(['spec', 'image'], 'is required, unless boot_volume is given');
  if (boot_volume !== undefined && image !== undefined) throw new Refusal(['spec', 'boot_volume'], 'cannot stand beside image: leave one of them out');
  if (boot_volume !== undefined && create_bootable_volume)
    throw new Refusal(['spec', 'create_bootable_volume'], 'cannot stand beside boot_volume: a machine boots from one volume');
  return image ?? null;
}

/** `sha256:` and 64 hexadecimal digits: as the database computes it of what it has. */
const digestOf = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;

function rulesOf(field: string, rules: DocumentOf<'Firewall'>['spec']['rules'], beside: boolean): FirewallSpec['rules'] {
  const given = rules.map((rule, index) => refused(['spec', field, index], () => checkedRule(rule)));
  return canonicalRules([...(beside ? DEFAULT_RULES : []), ...given]);
}

function refused<Result>(path: (string | number)[], check: () => Result): Result {
  try {
    return check();
  } catch (error) {
    if (error instanceof ApiError) throw new Refusal(path, error.message);
    throw error;
  }
}

function filledIn(path: string[], text: string, placeholders: Placeholders): string {
  const unknown = unknownPlaceholder(text);
  if (unknown !== undefined) throw new Refusal(path, `{{ ${unknown} }} is no placeholder; there are name, environment, index and count`);
  return fillIn(text, placeholders);
}

function plainName(name: string): string {
  if (name.includes('{{')) throw new Refusal(['metadata', 'name'], 'has placeholders, which are for groups: this kind has no count');
  return name;
}

function shortName(name: string, path: readonly string[] = ['metadata', 'name']): string {
  if (name.length > MAX_NAME_LENGTH || name !== name.trim())
    throw new Refusal(path, `${JSON.stringify(name)} must have 1 to ${MAX_NAME_LENGTH} characters and no space at either end`);
  return name;
}

function namesOf(name: string, count: number | undefined): { name: string; index: number }[] {
  const names = groupNames(name, count);
  if (names === undefined)
    throw new Refusal(['metadata', 'name'], count === undefined ? 'has placeholders; give spec.count too' : 'may have no placeholder but {{ index }}');
  return names.map((made, at) => ({ name: made, index: at + 1 }));
}
