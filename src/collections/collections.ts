import type { Database, Queryable } from '../contract/database.ts';
import { InputError, LockgateError } from '../contract/errors.ts';
import { isId, newId } from './id.ts';

export interface Collection {
  readonly id: string;
  readonly name: string;
  readonly sources: number;
  readonly documents: number;
  readonly bytes: number;
  /** What it may have; null: anything. */
  readonly maxDocuments: number | null;
  readonly maxBytes: number | null;
  /** The number of the newest change. */
  readonly lastChange: number;
  readonly createdAt: Date;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

const SELECT = `
  select c.id, c.name, c.max_documents as "maxDocuments", c.max_bytes as "maxBytes", c.last_change as "lastChange", c.created_at as "createdAt",
         count(s.id) filter (where s.removed_at is null) as sources,
         coalesce(sum(s.document_count), 0)::bigint as documents,
         coalesce(sum(s.byte_count), 0)::bigint as bytes
    from lockgate.collection c
    left join lockgate.source s on s.collection_id = c.id`;

function assertName(name: string): void {
  // A name that looks like an ID could stand for another collection.
  if (NAME.test(name) && !isId(name)) return;
  throw new InputError(
    'invalid_name',
    `"${name}" cannot name a collection.`,
    'Use up to 100 letters, digits, dots, hyphens and underscores, and begin with a letter or digit.',
  );
}

/** Throws `invalid_name` or `collection_exists`. */
export async function createCollection(db: Queryable, workspace: string, name: string): Promise<Collection> {
  assertName(name);
  await db.query('insert into lockgate.workspace (id) values ($1) on conflict do nothing', [workspace]);
  const created = await db.query(
    `insert into lockgate.collection (id, workspace, name) values ($1, $2, $3)
     on conflict (workspace, name) do nothing returning id`,
    [newId(), workspace, name],
  );
  if (created.length === 0) throw new LockgateError('collection_exists', `There is already a collection "${name}".`);
  return findCollection(db, workspace, name);
}

export function listCollections(db: Queryable, workspace: string): Promise<Collection[]> {
  return db.query<Collection>(`${SELECT} where c.workspace = $1 group by c.id order by c.name`, [workspace]);
}

/** By its name or its ID. Throws `collection_not_found`. */
export async function resolveCollection(db: Queryable, workspace: string, nameOrId: string): Promise<Collection> {
  const [found] = isId(nameOrId)
    ? await db.query<Collection>(`${SELECT} where c.workspace = $1 and c.id = $2 group by c.id`, [workspace, nameOrId])
    : [];
  return found ?? findCollection(db, workspace, nameOrId);
}

/** Throws `invalid_name` or `collection_exists`. */
export async function updateCollection(
  db: Queryable,
  workspace: string,
  { id, name, maxDocuments, maxBytes }: Pick<Collection, 'id' | 'name' | 'maxDocuments' | 'maxBytes'>,
): Promise<Collection> {
  assertName(name);
  const [taken] = await db.query('select 1 from lockgate.collection where workspace = $1 and name = $2 and id <> $3', [
    workspace,
    name,
    id,
  ]);
  if (taken) throw new LockgateError('collection_exists', `There is already a collection "${name}".`);
  await db.query('update lockgate.collection set name = $2, max_documents = $3, max_bytes = $4 where id = $1', [
    id,
    name,
    maxDocuments,
    maxBytes,
  ]);
  return findCollection(db, workspace, name);
}

/** With everything that belongs to it. Its sources first, as a hand that commits has them. */
export function removeCollection(db: Database, id: string): Promise<void> {
  return db.transaction(async (tx) => {
    await tx.query('delete from lockgate.source where collection_id = $1', [id]);
    await tx.query('delete from lockgate.collection where id = $1', [id]);
  });
}

/** By its name. Throws `collection_not_found`. */
export async function findCollection(db: Queryable, workspace: string, name: string): Promise<Collection> {
  const [found] = await db.query<Collection>(`${SELECT} where c.workspace = $1 and c.name = $2 group by c.id`, [
    workspace,
    name,
  ]);
  if (found) return found;
  throw new LockgateError(
    'collection_not_found',
    `There is no collection "${name}".`,
    `List them with: lockgate collections list, or make it with: lockgate collections create ${name}`,
  );
}
