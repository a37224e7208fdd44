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

export interface DocumentFilter {
  readonly source?: string | undefined;
  /** Somewhere in the path, whatever its case. */
  readonly search?: string | undefined;
  readonly prefix?: string | undefined;
  readonly type?: string | undefined;
  readonly status?: 'ok' | 'warning' | undefined;
  readonly modifiedAfter?: string | undefined;
  readonly modifiedBefore?: string | undefined;
  readonly sort?: DocumentSort | undefined;
}

/** What each order is by, with the direction, and the type that its cursor has. */
const SORTS = {
  key: ['(d.source_id::text || d.key)', 'asc', 'text'],
  path: ['d.path collate "C"', 'asc', 'text'],
  modified: ['d.modified_at', 'asc', 'timestamptz'],
  '-modified': ['d.modified_at', 'desc', 'timestamptz'],
  size: ['d.size', 'asc', 'bigint'],
  '-size': ['d.size', 'desc', 'bigint'],
} as const;
export type DocumentSort = keyof typeof SORTS;

/** By default in the order of source and key. `cursor` is the `nextCursor` of the page before. */
export async function listDocuments(
  db: Queryable,
  collectionId: string,
  limit: number,
  cursor: string | null,
  filter: DocumentFilter = {},
): Promise<DocumentPage> {
  const { sort = 'key', ...conditions } = filter;
  const filtered = Object.values(conditions).some((value) => value !== undefined);
  const values: unknown[] = [collectionId];
  const where = ['d.source_id in (select id from lockgate.source where collection_id = $1)'];
  const add = (text: (place: string) => string, value: unknown) => {
    values.push(value);
    where.push(text(`$${values.length}`));
  };
  if (filter.source !== undefined)
    add((at) => `d.source_id = ${at}::uuid`, isId(filter.source) ? filter.source : NOBODY);
  if (filter.search !== undefined) add((at) => `strpos(lower(d.path), lower(${at})) > 0`, filter.search);
  if (filter.prefix !== undefined) add((at) => `starts_with(d.path, ${at})`, filter.prefix);
  if (filter.type !== undefined) add((at) => `d.content_type = ${at}`, filter.type);
  if (filter.status !== undefined) add((at) => `(d.warning is not null) = ${at}`, filter.status === 'warning');
  if (filter.modifiedAfter !== undefined) add((at) => `d.modified_at > ${at}::timestamptz`, filter.modifiedAfter);
  if (filter.modifiedBefore !== undefined) add((at) => `d.modified_at < ${at}::timestamptz`, filter.modifiedBefore);
  const total = filtered
    ? await db.query<{ total: number }>(
        `select count(*) as total from lockgate.document d where ${where.join(' and ')}`,
        values,
      )
    : await db.query<{ total: number }>(
        'select coalesce(sum(document_count), 0)::bigint as total from lockgate.source where collection_id = $1',
        [collectionId],
      );
  const order = sort === 'key' ? byKey(cursor, add) : bySort(sort, cursor, add);
  values.push(limit);
  const items = await db.query<DocumentRecord & { sortValue?: string }>(
    `${SELECT.replace('d.grants', `d.grants${order.column}`)} where ${where.join(' and ')} order by ${order.by} limit $${values.length}`,
    values,
  );
  const last = items.at(-1);
  const nextCursor = last && items.length === limit ? order.cursorOf(last) : null;
  return { total: total[0]?.total ?? 0, items: items.map(({ sortValue: _, ...item }) => item), nextCursor };
}

type AddCondition = (text: (place: string) => string, value: unknown) => void;
const NOBODY = '00000000-0000-0000-0000-000000000000';

function byKey(cursor: string | null, add: AddCondition) {
  if (cursor) {
    const [sourceId, key] = decodeCursor(cursor);
    add((at) => `(d.source_id, d.key) > ((${at}::jsonb->>0)::uuid, ${at}::jsonb->>1)`, JSON.stringify([sourceId, key]));
  }
  const cursorOf = ({ sourceId, key }: DocumentRecord) => encodeCursor(sourceId, key);
  return { by: 'd.source_id, d.key', column: '', cursorOf };
}

function bySort(sort: DocumentSort, cursor: string | null, add: AddCondition) {
  const [expression, direction, type] = SORTS[sort];
  if (cursor) {
    const [id, value] = decodeCursor(cursor);
    const beyond = direction === 'asc' ? '>' : '<';
    if (type === 'bigint' && !/^\d{1,18}$/.test(value)) throw badCursor();
    if (type === 'timestamptz' && Number.isNaN(Date.parse(value))) throw badCursor();
    add(
      (at) => `(${expression}, d.id) ${beyond} ((${at}::jsonb->>1)::${type}, (${at}::jsonb->>0)::uuid)`,
      JSON.stringify([id, value]),
    );
  }
  return {
    by: `${expression} ${direction}, d.id ${direction}`,
    // As text: a Date would lose its microseconds.
    column: `, (${expression})::text as "sortValue"`,
    cursorOf: ({ id, sortValue = '' }: DocumentRecord & { sortValue?: string }) => encodeCursor(id, sortValue),
  };
}

/** What a run that waits for approval would remove, in the order of their keys. */
export async function listRemovals(
  db: Queryable,
  run: { readonly id: string; readonly sourceId: string },
  limit: number,
  cursor: string | null,
): Promise<DocumentPage> {
  const [counted] = await db.query<{ total: number }>(
    'select count(*) as total from lockgate.document where missing_run = $1',
    [run.id],
  );
  const items = await db.query<DocumentRecord>(
    `${SELECT} where d.missing_run = $1 and ($2::text is null or d.key > $2) order by d.key limit $3`,
    [run.id, cursor === null ? null : decodeCursor(cursor)[1], limit],
  );
  const last = items.at(-1);
  const nextCursor = last && items.length === limit ? encodeCursor(run.sourceId, last.key) : null;
  return { total: counted?.total ?? 0, items, nextCursor };
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
  throw badCursor();
}

function badCursor(): InputError {
  return new InputError('invalid_cursor', 'The cursor is not one that this list gave out.');
}
