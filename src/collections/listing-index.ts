import type { Queryable } from '../contract/database.ts';
import type { IndexRow, ListingStore } from '../contract/run.ts';

/** What the collection has of a source. */
export function openIndex(db: Queryable, sourceId: string): Pick<ListingStore, 'indexRange' | 'indexRows'> {
  return {
    indexRange: (after, upTo, limit) =>
      db.query<IndexRow>(
        `select key, path, version, coalesce(listed_size, size) as size from lockgate.document
          where source_id = $1 and ($2::text is null or key > $2) and ($3::text is null or key <= $3)
          order by key limit $4`,
        [sourceId, after, upTo, limit],
      ),
    indexRows: (keys) =>
      db.query<IndexRow>(
        'select key, path, version, coalesce(listed_size, size) as size from lockgate.document where source_id = $1 and key = any($2)',
        [sourceId, keys],
      ),
  };
}
