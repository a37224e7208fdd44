import { Column, type Database, type Queryable } from '../contract/database.ts';

/** Takes the marks of these contents away, and waits for a collector that is just removing one of them. */
export async function keepContent(db: Queryable, sha256s: readonly string[]): Promise<void> {
  if (sha256s.length === 0) return;
  await db.query('delete from lockgate.content_garbage where sha256 = any($1)', [new Column('bytea', sha256s)]);
}

/** Marks those of the contents that no document refers to: one look at all documents, however many contents there are. Returns how many have no reference. */
export async function markGarbage(db: Queryable, contents: AsyncIterable<readonly string[]>): Promise<number> {
  await db.query('truncate lockgate.content_listed');
  for await (const some of contents) {
    await db.query('insert into lockgate.content_listed (sha256) select unnest($1::bytea[])', [
      new Column('bytea', some),
    ]);
  }
  const [counted] = await db.query<{ count: number }>(
    `with unreferenced as (
       select distinct l.sha256 from lockgate.content_listed l
        where not exists (select 1 from lockgate.document d where d.sha256 = l.sha256)
     ), marked as (
       insert into lockgate.content_garbage (sha256) select sha256 from unreferenced on conflict do nothing
     )
     select count(*) as count from unreferenced`,
  );
  await db.query('truncate lockgate.content_listed');
  return counted?.count ?? 0;
}

/**
 * Of the contents that were marked so long ago, in the order of marking, those that no document refers to; the others lose their marks.
 * `looked`: how many of both there were.
 */
export async function oldGarbage(
  db: Queryable,
  graceSeconds: number,
  limit: number,
): Promise<{ readonly looked: number; readonly garbage: readonly string[] }> {
  const rows = await db.query<{ sha256: string; isWanted: boolean }>(
    `with old as materialized (
       select sha256, marked_at from lockgate.content_garbage
        where marked_at < now() - make_interval(secs => $1) order by marked_at limit $2
     ), wanted as materialized (
       select distinct sha256 from lockgate.document join old using (sha256)
     ), kept as (
       delete from lockgate.content_garbage g using wanted w where g.sha256 = w.sha256
     )
     select encode(o.sha256, 'hex') as sha256, w.sha256 is not null as "isWanted"
       from old o left join wanted w using (sha256) order by o.marked_at`,
    [graceSeconds, limit],
  );
  return { looked: rows.length, garbage: rows.flatMap(({ sha256, isWanted }) => (isWanted ? [] : [sha256])) };
}

/**
 * Has `remove` take a content away that was garbage a moment ago, if its mark is still there: whoever has come to refer to it since then has
 * taken the mark away first. The mark is held meanwhile, so nobody can store the same and believe it there. False: it was not removed.
 */
export function takeGarbage(
  db: Database,
  sha256: string,
  graceSeconds: number,
  remove: () => Promise<void>,
): Promise<boolean> {
  return db.transaction(async (tx) => {
    const [mark] = await tx.query(
      `select 1 from lockgate.content_garbage
        where sha256 = $1 and marked_at < now() - make_interval(secs => $2) for update skip locked`,
      [byteaOf(sha256), graceSeconds],
    );
    if (!mark) return false;
    await remove();
    await tx.query('delete from lockgate.content_garbage where sha256 = $1', [byteaOf(sha256)]);
    return true;
  });
}

/** PostgreSQL's text of the bytes that a hash in hex has. */
export function byteaOf(sha256: string): string {
  return `\\x${sha256}`;
}
