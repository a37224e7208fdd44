import { type Changes, type Entry, GRANTS_MARK, type UnreadableReason } from '../contract/connector.ts';
import { columnsIn, type Database, type Queryable } from '../contract/database.ts';
import type { Mirror } from '../contract/run.ts';

/** Of a row `s` of `lockgate.source`. */
const PLACE = "s.path || ' ' || s.settings::text";

/**
 * The mirror of one source. `claim` throws when the attempt that writes no longer owns the run. A mirror of another path
 * or with other settings than the source has now counts as empty.
 */
export function openMirror(db: Database, sourceId: string, claim: (tx: Queryable) => Promise<void>): Mirror {
  return {
    position: async () => {
      const [row] = await db.query<{ position: string | null }>(
        `select m.position from lockgate.mirror m join lockgate.source s on s.id = m.source_id and m.place = ${PLACE}
          where m.source_id = $1`,
        [sourceId],
      );
      return row?.position ?? null;
    },
    apply: (changes, position, ends) =>
      db.transaction(async (tx) => {
        await claim(tx);
        await apply(tx, sourceId, changes, position, ends);
      }),
    page: (after, limit) => readPage(db, sourceId, after, limit),
  };
}

async function apply(tx: Queryable, sourceId: string, changes: Changes, position: string, ends: boolean) {
  const tree = changes.folders.length + changes.removed.length > 0;
  await tx.query(
    `delete from lockgate.mirror_item i using lockgate.mirror m, lockgate.source s
      where i.source_id = $1 and m.source_id = $1 and s.id = $1 and m.place <> ${PLACE}`,
    [sourceId],
  );
  const [state] = await tx.query<{ enumeration: number; everything: boolean; dirty: boolean }>(
    `insert into lockgate.mirror (source_id, place, position, enumeration, everything, dirty)
       select id, ${PLACE}, $2, 1, $3, $4 from lockgate.source s where id = $1
     on conflict (source_id) do update set place = excluded.place, position = excluded.position,
       enumeration = lockgate.mirror.enumeration + case when $3 then 1 else 0 end,
       everything = lockgate.mirror.everything or $3, dirty = lockgate.mirror.dirty or $4
     returning enumeration, everything, dirty`,
    [sourceId, position, changes.begins, tree],
  );
  if (!state) return;
  await writeItems(tx, sourceId, changes, state.enumeration);
  if (changes.removed.length > 0) {
    await tx.query('delete from lockgate.mirror_item where source_id = $1 and key = any($2)', [
      sourceId,
      changes.removed,
    ]);
  }
  if (!ends) return;
  if (state.everything) {
    await tx.query('delete from lockgate.mirror_item where source_id = $1 and enumeration <> $2', [
      sourceId,
      state.enumeration,
    ]);
  }
  if (state.everything || state.dirty) await writePaths(tx, sourceId);
  await tx.query('update lockgate.mirror set everything = false, dirty = false where source_id = $1', [sourceId]);
}

async function writeItems(tx: Queryable, sourceId: string, { entries, folders }: Changes, enumeration: number) {
  const items = [
    ...folders.map(({ key, parent, name, grants }) => ({ key, parent, name, grants, folder: true, entry: null })),
    ...entries.map((entry) => ({
      key: entry.key,
      parent: entry.parent,
      name: entry.name,
      grants: entry.grants,
      folder: false,
      entry,
    })),
  ];
  if (items.length === 0) return;
  const of = columnsIn(items);
  await tx.query(
    `insert into lockgate.mirror_item (source_id, key, parent, name, folder, version, size, modified_at, unreadable, grants, enumeration)
     select $1, row.*, $2 from unnest($3::text[], $4::text[], $5::text[], $6::boolean[], $7::text[], $8::bigint[], $9::timestamptz[], $10::text[], $11::text[])
         as row (key, parent, name, folder, version, size, modified_at, unreadable, grants)
     on conflict (source_id, key) do update set parent = excluded.parent, name = excluded.name, folder = excluded.folder,
       version = excluded.version, size = excluded.size, modified_at = excluded.modified_at,
       unreadable = excluded.unreadable, grants = coalesce(nullif(excluded.grants, ''), lockgate.mirror_item.grants, excluded.grants), enumeration = excluded.enumeration`,
    [
      sourceId,
      enumeration,
      of('text', ({ key }) => key),
      of('text', ({ parent }) => parent),
      of('text', ({ name }) => name),
      of('boolean', ({ folder }) => folder),
      of('text', ({ entry }) => entry?.version ?? null),
      of('bigint', ({ entry }) => entry?.size ?? null),
      of('timestamptz', ({ entry }) => entry?.modifiedAt ?? null),
      of('text', ({ entry }) => entry?.unreadable ?? null),
      of('text', ({ grants }) => grants ?? null),
    ],
  );
}

/**
 * A folder's path follows from those above it, so one that is renamed or moved changes all below; and so does what is
 * granted, where the roots say that they keep it.
 */
async function writePaths(tx: Queryable, sourceId: string): Promise<void> {
  await tx.query(
    `with recursive tree as (
       select key, name as path, md5(key || grants) as inherited
         from lockgate.mirror_item where source_id = $1 and folder and parent is null
       union all
       select i.key, case when tree.path = '' then i.name else tree.path || '/' || i.name end,
              md5(tree.inherited || i.key || coalesce(i.grants, ''))
         from lockgate.mirror_item i join tree on i.parent = tree.key where i.source_id = $1 and i.folder
     ), said as (
       select i.key, tree.path, tree.inherited from lockgate.mirror_item i left join tree on tree.key = i.key
        where i.source_id = $1 and i.folder
     )
     update lockgate.mirror_item i set path = said.path, inherited = said.inherited from said
      where i.source_id = $1 and i.key = said.key
        and (i.path is distinct from said.path or i.inherited is distinct from said.inherited)`,
    [sourceId],
  );
}

async function readPage(db: Queryable, sourceId: string, after: string | null, limit: number): Promise<Entry[]> {
  const rows = await db.query<
    Omit<Entry, 'modifiedAt' | 'unreadable'> & { modifiedAt: Date; unreadable: string | null }
  >(
    `select i.key, case when f.path = '' then i.name else f.path || '/' || i.name end as path,
            case when f.inherited is null then i.version
                 else i.version || '${GRANTS_MARK}' || md5(f.inherited || coalesce(i.grants, '')) end as version, i.size,
            i.modified_at as "modifiedAt", i.unreadable
       from lockgate.mirror_item i
       join lockgate.mirror_item f on f.source_id = i.source_id and f.key = i.parent and f.path is not null
      where i.source_id = $1 and not i.folder and ($2::text is null or i.key > $2) order by i.key limit $3`,
    [sourceId, after, limit],
  );
  return rows.map(({ modifiedAt, unreadable, ...entry }) => ({
    ...entry,
    modifiedAt: modifiedAt.getTime(),
    ...(unreadable ? { unreadable: unreadable as UnreadableReason } : {}),
  }));
}
