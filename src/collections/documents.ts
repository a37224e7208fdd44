import type { Grant } from '../contract/connector.ts';
import type { Queryable } from '../contract/database.ts';
import { InputError, LockgateError } from '../contract/errors.ts';
import { isId } from './id.ts';

export interface DocumentRecord {
  readonly id: string;
  readonly sourceId: string;
  readonly key: string;
  readonly path: string;
  readonly version: string;
  readonly size: number;
  readonly modifiedAt: Date;
  readonly contentType: string | null;
  readonly sha256: string;
  readonly storedAt: Date;
  /** Why the content may not be what the source listed. */
  readonly warning: string | null;
  /** Who may see it, where the source was asked. */
  readonly grants: readonly Grant[] | null;
}

export interface DocumentFailure {
  readonly sourceId: string;
  readonly key: string;
  readonly path: string;
  readonly size: number;
  readonly code: string;
  readonly message: string;
  readonly attempts: number;
  readonly firstAt: Date;
  readonly lastAt: Date;
}

export interface DocumentPage {
  /** Of the whole collection. */
  readonly total: number;
  readonly items: readonly DocumentRecord[];
  readonly nextCursor: string | null;
}

export const MAX_PAGE = 1000;

const SELECT = `
  select d.id, d.source_id as "sourceId", d.key, d.path, d.version, d.size, d.modified_at as "modifiedAt",
         d.content_type as "contentType", encode(d.sha256, 'hex') as sha256, d.stored_at as "storedAt", d.warning, d.grants
    from lockgate.document d`;

/** In the order of source and key. `cursor` is the `nextCursor` of the page before. */
export async function listDocuments(
  db: Queryable,
  collectionId: string,
  limit: number,
  cursor: string | null,
): Promise<DocumentPage> {
  const [after, key] = cursor ? decodeCursor(cursor) : ['00000000-0000-0000-0000-000000000000', ''];
  const items = await db.query<DocumentRecord>(
    `${SELECT} where d.source_id in (select id from lockgate.source where collection_id = $1)
       and (d.source_id, d.key) > ($2::uuid, $3) order by d.source_id, d.key limit $4`,
    [collectionId, after, key, limit],
  );
  const [count] = await db.query<{ total: number }>(
    'select coalesce(sum(document_count), 0)::bigint as total from lockgate.source where collection_id = $1',
    [collectionId],
  );
  const last = items.at(-1);
  return {
    total: count?.total ?? 0,
    items,
    nextCursor: last && items.length === limit ? encodeCursor(last.sourceId, last.key) : null,
  };
}

/** Throws `document_not_found`. */
export async function findDocument(db: Queryable, workspace: string, id: string): Promise<DocumentRecord> {
  const [found] = isId(id)
    ? await db.query<DocumentRecord>(
        `${SELECT} join lockgate.source s on s.id = d.source_id join lockgate.collection c on c.id = s.collection_id
          where c.workspace = $1 and d.id = $2`,
        [workspace, id],
      )
    : [];
  if (found) return found;
  throw new LockgateError('document_not_found', `There is no document "${id}".`);
}

/** What could not be fetched, and is tried again by the next run. */
export function listFailures(db: Queryable, sourceId: string, limit: number): Promise<DocumentFailure[]> {
  return db.query<DocumentFailure>(
    `select source_id as "sourceId", key, path, size, code, message, attempts, first_at as "firstAt", last_at as "lastAt"
       from lockgate.document_failure where source_id = $1 order by key limit $2`,
    [sourceId, limit],
  );
}

function encodeCursor(sourceId: string, key: string): string {
  return Buffer.from(JSON.stringify([sourceId, key])).toString('base64url');
}

function decodeCursor(cursor: string): [string, string] {
  try {
    const [sourceId, key] = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    if (typeof sourceId === 'string' && isId(sourceId) && typeof key === 'string') return [sourceId, key];
  } catch {
    // Falls through: whatever it was, it is no cursor of ours.
  }
  throw new InputError('invalid_cursor', 'The cursor is not one that this list gave out.');
}
