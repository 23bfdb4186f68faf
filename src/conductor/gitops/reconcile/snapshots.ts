/**
 * Keeps what was fetched, so that a pass needs no Git server to find drift, to go on after a crash or to roll back; and
 * keeps what was compiled of it in memory, so that a pass without news costs no parsing.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { promisify } from 'node:util';
import { brotliCompress, brotliDecompress, constants } from 'node:zlib';
import type { GitCommit, GitSnapshot } from '../git/git-fetcher.js';
import { compileManifest, type CompiledManifest } from '../manifest/compile.js';

/** Of each repository: how far back one can roll. */
const KEPT = 20;
const COMPILED_KEPT = 16;

const compress = promisify(brotliCompress);
const decompress = promisify(brotliDecompress);

export interface KeptSnapshot {
  readonly commit: GitCommit;
  readonly manifest: CompiledManifest;
}

interface PackedFiles {
  /** Path and content in base64. */
  readonly files: readonly [string, string][];
  /** Path and reason. */
  readonly skipped: readonly [string, string][];
}

interface SnapshotRow {
  readonly author: string;
  readonly message: string;
  readonly committed_at: Date;
  readonly fetched_at: Date;
}

@Injectable()
export class Snapshots {
  private readonly compiled = new Map<string, CompiledManifest>();

  constructor(private readonly dataSource: DataSource) {}

  async keep(repositoryId: number, { commit, files, skipped }: Pick<GitSnapshot, 'commit' | 'files' | 'skipped'>): Promise<void> {
    const content: PackedFiles = { files: [...files].map(([path, bytes]) => [path, bytes.toString('base64')]), skipped: [...skipped] };
    const packed = await compress(JSON.stringify(content), { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } });
    await this.dataSource.query(
      `INSERT INTO gitops_snapshot (git_repository_id, commit, author, message, committed_at, files) VALUES ($1, $2, $3, $4, $5, $6)
       ON CONFLICT (git_repository_id, commit) DO UPDATE SET files = EXCLUDED.files, fetched_at = now()`,
      [repositoryId, commit.id, storable(commit.author), storable(commit.message), commit.committedAt, packed],
    );
    await this.dataSource.query(
      `DELETE FROM gitops_snapshot s USING git_repository g
        WHERE g.id = $1 AND s.git_repository_id = $1 AND s.commit NOT IN (
          SELECT commit FROM gitops_snapshot WHERE git_repository_id = $1 ORDER BY fetched_at DESC LIMIT ${KEPT})
          AND s.commit IS DISTINCT FROM g.pinned_commit AND s.commit IS DISTINCT FROM g.fetched_commit`,
      [repositoryId],
    );
  }

  async load(repositoryId: number, commit: string): Promise<KeptSnapshot | undefined> {
    const [row] = await this.dataSource.query<SnapshotRow[]>(
      'SELECT author, message, committed_at, fetched_at FROM gitops_snapshot WHERE git_repository_id = $1 AND commit = $2',
      [repositoryId, commit],
    );
    if (row === undefined) return undefined;
    const { author, message, committed_at: committedAt } = row;
    const key = `${repositoryId} ${commit} ${row.fetched_at.getTime()}`;
    const manifest = this.compiled.get(key) ?? (await this.compile(repositoryId, commit));
    // The one that was used last is the last to go.
    this.compiled.delete(key);
    this.compiled.set(key, manifest);
    if (this.compiled.size > COMPILED_KEPT) this.compiled.delete(this.compiled.keys().next().value!);
    return { commit: { id: commit, author, message, committedAt }, manifest };
  }

  private async compile(repositoryId: number, commit: string): Promise<CompiledManifest> {
    const [row] = await this.dataSource.query<{ files: Buffer }[]>(
      'SELECT files FROM gitops_snapshot WHERE git_repository_id = $1 AND commit = $2',
      [repositoryId, commit],
    );
    const { files, skipped } = JSON.parse((await decompress(row!.files)).toString()) as PackedFiles;
    return await compileManifest(new Map(files.map(([path, bytes]) => [path, Buffer.from(bytes, 'base64')])), new Map(skipped));
  }
}

/** Whoever can push writes these; a database cannot hold everything that a commit can. */
const storable = (text: string): string => text.replace(/[\0\p{Cs}]/gu, '\ufffd').slice(0, 2_000);
