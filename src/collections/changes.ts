import type { Queryable } from '../contract/database.ts';
import { LockgateError } from '../contract/errors.ts';

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

const SELECT = `
  select ch.number, ch.kind, ch.document_id as "documentId", ch.source_id as "sourceId", ch.key, ch.path, ch.version, ch.size,
         encode(ch.sha256, 'hex') as sha256, ch.at
    from lockgate.change ch`;

/** What became of a document, the newest first, as far back as changes are kept. */
export function readHistory(db: Queryable, workspace: string, documentId: string, limit: number): Promise<Change[]> {
  return db.query<Change>(
    `${SELECT} join lockgate.collection c on c.id = ch.collection_id and c.workspace = $1
      where ch.document_id = $2::uuid order by ch.at desc, ch.number desc limit $3`,
    [workspace, documentId, limit],
  );
}

/**
 * The changes after number `after`, in their order. A reader that goes on from the last number misses none. Throws
 * `changes_forgotten` when some of them are not kept any more.
 */
export async function readChanges(
  db: Queryable,
  collectionId: string,
  after: number,
  limit: number,
): Promise<Change[]> {
  const changes = await db.query<Change>(
    `${SELECT} where collection_id = $1 and number > $2 order by number limit $3`,
    [collectionId, after, limit],
  );
  if (changes[0]?.number === after + 1) return changes;
  const [collection] = await db.query<{ forgotten: number }>(
    'select forgotten_changes as forgotten from lockgate.collection where id = $1',
    [collectionId],
  );
  if (!collection || after >= collection.forgotten) return changes;
  throw new LockgateError(
    'changes_forgotten',
    `Changes up to ${collection.forgotten} are not kept any more.`,
    'Note the lastChange of the collection, list its documents, and go on with the changes after that number.',
  );
}
