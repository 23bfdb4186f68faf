/**
 * The memory of the simulated hypervisor: one line for each change of a domain or snapshot, the last one of each counts. Calls
 * made at the same time share one write. A line is with the operating system before its call resolves, so it outlives
 * the process (`kill -9`); it is not synced, since simulated guests do not outlive the host either.
 *
 * Opening rewrites the file to one line each, beside and then renamed. A last line that a crash cut off is the
 * change of a call that never resolved: it is dropped.
 */
import { mkdir, open, readFile, rename, writeFile, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { IncarnationId, SnapshotUuid, VmUuid, VolumeUuid } from '../../../protocol/ids.js';
import type { InventoryItem } from '../../../protocol/node.js';
import type { VmSpec } from '../../../protocol/task.js';

export interface SimulatedDomain {
  readonly vmUuid: VmUuid;
  readonly incarnationId: IncarnationId;
  readonly state: InventoryItem['state'];
  readonly fixedIp: string;
  /** Missing from journals of former versions. */
  readonly name?: string;
  /** How often it was reset. */
  readonly resets: number;
  readonly volumes?: readonly VolumeUuid[];
  /** Their sizes, in the same order. */
  readonly volumeGib?: readonly number[];
  /** Absent where a worker of the version before made it. */
  readonly hardware?: SimulatedHardware;
  /** Must not run without its node's lease. */
  readonly autoRecover?: boolean;
  readonly paused?: true;
  readonly shutDown?: true;
  readonly diskMissing?: true;
  /** Somebody removed the domain: only its disk is left. */
  readonly undefined?: true;
}

/** What the domain was made of. */
export type SimulatedHardware = Pick<VmSpec, 'vcpus' | 'memoryMib' | 'diskGib' | 'gpu' | 'floatingIp' | 'rules' | 'resizes'>;

type Line =
  | SimulatedDomain
  | { readonly vmUuid: VmUuid; readonly removed: true }
  | { readonly snapshot: SnapshotUuid; readonly removed?: true };

export interface JournalContent {
  readonly domains: Map<VmUuid, SimulatedDomain>;
  readonly snapshots: Set<SnapshotUuid>;
}

export class Journal {
  private file: FileHandle | undefined;
  private pending = '';
  private nextWrite: Promise<void> | undefined;
  private lastWrite: Promise<void> = Promise.resolve();

  constructor(private readonly path: string) {}

  /** @returns what there is. */
  async open(): Promise<JournalContent> {
    await mkdir(dirname(this.path), { recursive: true });
    const content = replay(await readIfPresent(this.path));
    const lines: Line[] = [...content.domains.values(), ...[...content.snapshots].map((snapshot) => ({ snapshot }))];
    const compacted = `${this.path}.new`;
    await writeFile(compacted, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    await rename(compacted, this.path);
    this.file = await open(this.path, 'a');
    return content;
  }

  /** The domains as the file has them now, with what others than this process wrote. */
  async reread(): Promise<Map<VmUuid, SimulatedDomain>> {
    await this.lastWrite.catch(() => undefined);
    return await readJournal(this.path);
  }

  append(line: Line): Promise<void> {
    this.pending += `${JSON.stringify(line)}\n`;
    this.nextWrite ??= this.lastWrite = this.lastWrite.catch(() => undefined).then(() => this.write());
    return this.nextWrite;
  }

  async close(): Promise<void> {
    await this.lastWrite;
    await this.file?.close();
    this.file = undefined;
  }

  private async write(): Promise<void> {
    const lines = this.pending;
    this.pending = '';
    this.nextWrite = undefined;
    if (!this.file) throw new Error('the simulated hypervisor is closed');
    await this.file.appendFile(lines);
  }
}

/** Where a worker with this state folder keeps it. */
export const simulatedJournal = (stateFolder: string): string => join(stateFolder, 'simulated-domains.jsonl');

export const readJournal = async (path: string): Promise<Map<VmUuid, SimulatedDomain>> => replay(await readIfPresent(path)).domains;

function replay(text: string): JournalContent {
  const domains = new Map<VmUuid, SimulatedDomain>();
  const snapshots = new Set<SnapshotUuid>();
  for (const line of text.slice(0, text.lastIndexOf('\n') + 1).split('\n')) {
    if (line === '') continue;
    const change = JSON.parse(line) as Line;
    if ('snapshot' in change) {
      if (change.removed) snapshots.delete(change.snapshot);
      else snapshots.add(change.snapshot);
    } else if ('removed' in change) domains.delete(change.vmUuid);
    else domains.set(change.vmUuid, change);
  }
  return { domains, snapshots };
}

async function readIfPresent(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
