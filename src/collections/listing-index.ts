import { Column, columnsIn, type Queryable } from '../contract/database.ts';
import type { IndexRow, ListingStore } from '../contract/run.ts';
import { boundAt } from '../contract/storable.ts';

/** What the collection has of a source. */
export function openIndex(
  db: Queryable,
  sourceId: string,
): Pick<ListingStore, 'indexRange' | 'indexRanges' | 'indexRows'> {
  return {
    indexRange: (after, upTo, limit) =>
      db.query<IndexRow>(
        `select key, path, version, coalesce(listed_size, size) as size from lockgate.document
          where source_id = $1 and ($2::text is null or key > $2) and ($3::text is null or key <= $3)
          order by key limit $4`,
        [sourceId, boundAt(after), boundAt(upTo), limit],
      ),
    // A row for each range: taking ten times as many apart costs more than reading one text.
    indexRanges: async (ranges, limit) => {
      const of = columnsIn(ranges);
      const found = await db.query<{ at: number; rows: [string, string, string, number][] }>(
        `select r.at::int as at, d.rows
           from unnest($2::text[], $3::text[]) with ordinality as r (after, up_to, at)
           cross join lateral (
             select json_agg(json_build_array(key, path, version, size) order by key) as rows from (
               select key, path, version, coalesce(listed_size, size) as size from lockgate.document
                where source_id = $1 and key > r.after collate "C" and key <= r.up_to collate "C"
                order by key limit $4) own) d
          where d.rows is not null`,
        // No key is empty.
        [sourceId, of('text', ({ after }) => boundAt(after ?? '')), of('text', ({ upTo }) => boundAt(upTo)), limit],
      );
      const rowsOf = new Map(found.map(({ at, rows }) => [at - 1, rows]));
      return ranges.map((_, i) =>
        (rowsOf.get(i) ?? []).map(([key, path, version, size]): IndexRow => ({ key, path, version, size })),
      );
    },
    indexRows: (keys) =>
      db.query<IndexRow>(
        'select key, path, version, coalesce(listed_size, size) as size from lockgate.document where source_id = $1 and key = any($2)',
        [
          sourceId,
          new Column(
            'text',
            keys.filter((key) => !key.includes('\0')),
          ),
        ],
      ),
  };
}
