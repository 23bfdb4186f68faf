/** Whose VMs are started elsewhere when their node is lost. Read at creation, and kept by the VM for its life. */
import type { DataSource } from 'typeorm';

/** @returns false when there is none of that name. */
export async function setAutoRecover(
  on: Pick<DataSource, 'query'>,
  of: 'organization' | 'flavor',
  name: string,
  wanted: boolean,
): Promise<boolean> {
  const [, affected] = await on.query<[unknown, number]>(`UPDATE ${of} SET auto_recover = $2 WHERE name = $1`, [name, wanted]);
  return affected > 0;
}
