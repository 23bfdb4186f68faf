/** Judges what forges tell of pushes: by the signature, for the branch that is followed. */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { notFound } from '../../http/api-error.js';
import { isSigned, pushIn, type PushHookHeaders } from '../git/push-hook.js';
import { GitopsWatcher } from '../reconcile/watcher.js';
import { SealedSecrets } from '../sealed-secrets.js';

@Injectable()
export class PushesService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly secrets: SealedSecrets,
    private readonly watcher: GitopsWatcher,
  ) {}

  /**
   * A forge tells of a push. Only the branch or tag that is followed is a reason to look.
   * @returns whether it is looked at. @throws ApiError 404, in the same words, for what is no repository and for a signature that is not ours.
   */
  async pushed(id: number, headers: PushHookHeaders, body: Buffer): Promise<boolean> {
    const [repository] = await this.dataSource.query<{ ref: string; webhook_secret: Buffer | null }[]>(
      'SELECT ref, webhook_secret FROM git_repository WHERE id = $1 AND url IS NOT NULL',
      [id],
    );
    const sealed = repository?.webhook_secret ?? null;
    const secret = sealed === null ? undefined : this.secrets.open<string>(sealed);
    if (secret === undefined || !isSigned(headers, body, secret)) throw notFound('A Git repository with this signature');
    const push = pushIn(headers, body);
    const followed = push !== undefined && [repository!.ref, `refs/heads/${repository!.ref}`, `refs/tags/${repository!.ref}`].includes(push.ref);
    if (!followed) return false;
    await this.dataSource.query(`UPDATE git_repository SET requested = coalesce(requested, 'push'), next_pass_at = now() WHERE id = $1`, [id]);
    this.watcher.wake();
    return true;
  }
}
