import { Column, type Database, type Queryable } from '../contract/database.ts';

/** Takes the marks of these contents away, and waits for a collector that is just removing one of them. */
export async function keepContent(db: Queryable, sha256s: readonly string[]): Promise<void> {
  if (sha256s.length === 0) return;
  await db.query('delete from lockgate.content_garbage where sha256 = any($1)', [new Column('bytea', sha256s)]);
}

/** Marks those of these contents that no document refers to. Returns how many have no reference. */
export async function markGarbage(db: Queryable, sha256s: readonly string[]): Promise<number> {
  const rows = await db.query(
    `with unreferenced as (
       select s.sha256 from unnest($1::bytea[]) as s (sha256)
        where not exists (select 1 from lockgate.document d where d.sha256 = s.sha256)
     ), marked as (
       insert into lockgate.content_garbage (sha256) select sha256 from unreferenced on conflict do nothing
     )
     select 1 from unreferenced`,
    [new Column('bytea', sha256s)],
  );
  return rows.length;
}

/** Contents that were marked so long ago, in the order of marking. */
export async function oldGarbage(db: Queryable, graceSeconds: number, limit: number): Promise<string[]> {
  const rows = await db.query<{ sha256: string }>(
    `select encode(sha256, 'hex') as sha256 from lockgate.content_garbage
      where marked_at < now() - make_interval(secs => $1) order by marked_at limit $2`,
    [graceSeconds, limit],
  );
  return rows.map(({ sha256 }) => sha256);
}

/**
 * Has `remove` take a content away if it is still marked and nothing refers to it. The mark is held meanwhile, so nobody can
 * store the same and believe it there. False: it was not removed.
 */
export function takeGarbage(db: Database, sha256: string, remove: () => Promise<void>): Promise<boolean> {
  return db.transaction(async (tx) => {
    const [mark] = await tx.query('select 1 from lockgate.content_garbage where sha256 = $1 for update skip locked', [
      byteaOf(sha256),
    ]);
    if (!mark) return false;
    const [reference] = await tx.query('select 1 from lockgate.document where sha256 = $1 limit 1', [byteaOf(sha256)]);
    if (!reference) await remove();
    await tx.query('delete from lockgate.content_garbage where sha256 = $1', [byteaOf(sha256)]);
    return !reference;
  });
}

/** PostgreSQL's text of the bytes that a hash in hex has. */
export function byteaOf(sha256: string): string {
  return `\\x${sha256}`;
}
