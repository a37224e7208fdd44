import type { PackedContent, PackIndex, PackPlace } from '../contract/content-store.ts';
import { Column, columnsIn, type Database, isUniqueViolation, type Queryable } from '../contract/database.ts';
import { byteaOf } from './garbage.ts';

/** Where small contents lie, in the database: every process sees the same. */
export function openPackIndex(database: () => Promise<Database>): PackIndex {
  return { ...placing(database), ...tidying(database) };
}

function placing(database: () => Promise<Database>): Pick<PackIndex, 'open' | 'find' | 'add' | 'forget' | 'page'> {
  return {
    open: async () => {
      const [pack] = await (await database()).query<{ id: number }>(
        'insert into lockgate.pack default values returning id',
      );
      return pack?.id ?? 0;
    },
    find: async (sha256s) => {
      const rows = await (await database()).query<PackPlace & { sha256: Buffer }>(
        'select sha256, pack_id as pack, at, size from lockgate.packed_content where sha256 = any($1)',
        [new Column('bytea', sha256s)],
      );
      return new Map(rows.map(({ sha256, ...place }) => [sha256.toString('hex'), place]));
    },
    add: async (pack, contents) => {
      const db = await database();
      try {
        return (await addTo(db, pack, contents, '')) && contents.length;
      } catch (error) {
        // Some are there already: so seldom that looking for each row would cost more.
        if (!isUniqueViolation(error)) throw error;
        return (await addTo(db, pack, contents, 'on conflict do nothing returning 1'))?.length ?? null;
      }
    },
    forget: async (sha256) => {
      await (await database()).query('delete from lockgate.packed_content where sha256 = $1', [byteaOf(sha256)]);
    },
    page: async (after, limit) => {
      const rows = await (await database()).query<{ sha256: Buffer; size: number; storedAt: Date }>(
        `select sha256, size, stored_at as "storedAt" from lockgate.packed_content
          where $1::bytea is null or sha256 > $1 order by sha256 limit $2`,
        [after === null ? null : byteaOf(after), limit],
      );
      return rows.map(({ sha256, ...row }) => ({ ...row, sha256: sha256.toString('hex') }));
    },
  };
}

function addTo(
  db: Database,
  pack: number,
  contents: readonly PackedContent[],
  onConflict: '' | 'on conflict do nothing returning 1',
): Promise<unknown[] | null> {
  const of = columnsIn(contents);
  return whileOpen(db, pack, async (tx) => {
    // Whoever refers to these commits later, and waits until all that was written before is on the disk.
    await tx.query('set local synchronous_commit = off');
    return tx.query(
      `insert into lockgate.packed_content (sha256, pack_id, at, size)
       select sha256, $1, at, size from unnest($2::bytea[], $3::bigint[], $4::int[]) as row (sha256, at, size) ${onConflict}`,
      [pack, of('bytea', ({ sha256 }) => sha256), of('bigint', ({ at }) => at), of('int', ({ size }) => size)],
    );
  });
}

/** Writes rows of a pack that takes more. Null: it does not. Who closes it waits until the commit, and finds these in it. */
function whileOpen<T>(db: Database, pack: number, write: (tx: Queryable) => Promise<T>): Promise<T | null> {
  return db.transaction(async (tx) => {
    const [open] = await tx.query('select 1 from lockgate.pack where id = $1 and closed_at is null for share', [pack]);
    return open ? write(tx) : null;
  });
}

/** What it takes to rewrite packs. */
function tidying(database: () => Promise<Database>): Pick<PackIndex, 'packs' | 'close' | 'contents' | 'move' | 'drop'> {
  return {
    packs: async () => {
      const rows = await (await database()).query<{ pack: number; live: number }>(
        `select p.id as pack, coalesce(sum(c.size), 0)::bigint as live from lockgate.pack p
           left join lockgate.packed_content c on c.pack_id = p.id group by p.id order by p.id`,
      );
      return rows;
    },
    close: async (pack) => {
      await (await database()).query('update lockgate.pack set closed_at = coalesce(closed_at, now()) where id = $1', [
        pack,
      ]);
    },
    contents: async (pack) => {
      const rows = await (await database()).query<{ sha256: Buffer; at: number; size: number }>(
        'select sha256, at, size from lockgate.packed_content where pack_id = $1 order by at',
        [pack],
      );
      return rows.map(({ sha256, ...row }) => ({ ...row, sha256: sha256.toString('hex') }));
    },
    move: async (from, to, contents) => {
      const of = columnsIn(contents);
      const moved = await whileOpen(await database(), to, (tx) =>
        tx.query(
          `update lockgate.packed_content c set pack_id = $2, at = row.at
             from unnest($3::bytea[], $4::bigint[]) as row (sha256, at) where c.sha256 = row.sha256 and c.pack_id = $1`,
          [from, to, of('bytea', ({ sha256 }) => sha256), of('bigint', ({ at }) => at)],
        ),
      );
      return moved !== null;
    },
    drop: async (pack, closedSeconds) => {
      const dropped = await (await database()).query(
        `delete from lockgate.pack p where id = $1 and closed_at <= now() - make_interval(secs => $2)
            and not exists (select 1 from lockgate.packed_content c where c.pack_id = p.id) returning 1`,
        [pack, closedSeconds],
      );
      return dropped.length > 0;
    },
  };
}
