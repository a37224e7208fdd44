import type { Queryable } from '../contract/database.ts';

/** One entry of a collection's change feed. */
export interface Change {
  /** 1, 2, 3 ... without gaps; the cursor to go on from. */
  readonly number: number;
  readonly kind: 'added' | 'changed' | 'moved' | 'removed';
  readonly documentId: string;
  readonly sourceId: string;
  readonly key: string;
  readonly path: string;
  readonly version: string;
  readonly size: number;
  readonly sha256: string;
  readonly at: Date;
}

/** The changes after number `after`, in their order. A reader that goes on from the last number misses none. */
export function readChanges(db: Queryable, collectionId: string, after: number, limit: number): Promise<Change[]> {
  return db.query<Change>(
    `select number, kind, document_id as "documentId", source_id as "sourceId", key, path, version, size,
            encode(sha256, 'hex') as sha256, at
       from lockgate.change where collection_id = $1 and number > $2 order by number limit $3`,
    [collectionId, after, limit],
  );
}
