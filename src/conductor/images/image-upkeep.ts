/**
 * Ends what nobody ends: images that are not available by their deadline, downloads whose node fell silent, and files of
 * the image store that no image needs. Any number of conductors may do so at once.
 *
 * A file is needed as long as its image is there, and after that as long as a VM is that was made of it, because another
 * life of it on another node needs it. What changed within the last minutes is left alone: an upload whose row is being
 * written, a VM whose creation saw the image just before it was deleted.
 */
import { Injectable, Logger, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { ImageStore, uploadUrl } from './image-store.js';

const CHECK_MS = 5_000;
const SWEEP_EVERY = 12;
const LEFT_ALONE_MINUTES = 15;

const GIVE_UP = `
  UPDATE image i
     SET status = 'error',
         problem = CASE i.status WHEN 'awaiting-upload' THEN 'Its file was not uploaded before the deadline.'
                   ELSE 'It could not be downloaded before the deadline.' || coalesce(' The last attempt: ' || t.last_problem, '') END
    FROM image_transfer t
   WHERE t.image_id = i.id AND i.status IN ('awaiting-upload', 'queued', 'downloading') AND i.deleted_at IS NULL AND t.deadline_at < now()`;

const TAKE_BACK = `
  UPDATE image i SET status = 'queued'
    FROM image_transfer t
   WHERE t.image_id = i.id AND i.status = 'downloading' AND i.deleted_at IS NULL AND t.lease_until < now()`;

const UNNEEDED = `
  SELECT url FROM unnest($1::text[]) AS url
   WHERE NOT EXISTS (
     SELECT 1 FROM image i
      WHERE i.files->'disk'->>'url' = url AND i.organization_id IS NOT NULL
        AND (i.deleted_at IS NULL OR i.deleted_at > now() - make_interval(mins => ${LEFT_ALONE_MINUTES})
             OR EXISTS (SELECT 1 FROM virtual_machine vm WHERE vm.image_id = i.id AND vm.deleted_at IS NULL)))`;

@Injectable()
export class ImageUpkeep implements OnModuleInit, OnModuleDestroy {
  private readonly logger = new Logger(ImageUpkeep.name);
  private timer: NodeJS.Timeout | undefined;
  private checks = 0;

  constructor(
    private readonly dataSource: DataSource,
    private readonly store: ImageStore,
  ) {}

  onModuleInit(): void {
    this.timer = setInterval(() => {
      void this.check().catch((error: Error) => this.logger.warn(`Images were not looked after: ${error.message}`));
    }, CHECK_MS);
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  private async check(): Promise<void> {
    await this.dataSource.query(GIVE_UP);
    await this.dataSource.query(TAKE_BACK);
    if (this.checks++ % SWEEP_EVERY === 0) await this.sweep();
  }

  /** Removes the files that nothing needs. @param before those changed since are left alone. */
  async sweep(before = new Date(Date.now() - LEFT_ALONE_MINUTES * 60_000)): Promise<void> {
    const old = (await this.store.list()).filter(({ changedAt }) => changedAt < before);
    if (old.length === 0) return;
    const rows = await this.dataSource.query<{ url: string }[]>(UNNEEDED, [old.map(({ name }) => uploadUrl(name))]);
    const unneeded = new Set(rows.map(({ url }) => url));
    for (const { name } of old.filter((file) => unneeded.has(uploadUrl(file.name)))) {
      await this.store.remove(name);
      this.logger.log(`Removed the uploaded file ${name}: no image and no VM needs it.`);
    }
  }
}
