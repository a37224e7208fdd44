import type { ConnectorType } from '../contract/connector.ts';
import type { Queryable } from '../contract/database.ts';
import { LockgateError } from '../contract/errors.ts';
import { isId, newId } from './id.ts';

/** When a source is synced by itself. */
export type Schedule =
  | { readonly cron: string; readonly timezone: string }
  /** Seconds between two due times. */
  | { readonly everySeconds: number };

export interface SourceSettings {
  readonly connectorType: ConnectorType;
  readonly credentialManager: string;
  readonly credentialId: string;
  /** Null: the latest. */
  readonly credentialVersion: string | null;
  /** From our names of fields to those of the secret; null: they are the same. */
  readonly credentialFields: Readonly<Record<string, string>> | null;
  readonly path: string;
  /** What only the connector understands. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly maxBytes: number | null;
  readonly autoSync: boolean;
  readonly schedule: Schedule | null;
  readonly guardDocuments: number;
  readonly guardShare: number;
}

export interface SourceRecord extends SourceSettings {
  readonly id: string;
  readonly workspace: string;
  readonly collectionId: string;
  readonly collection: string;
  readonly documents: number;
  readonly bytes: number;
  readonly nextDueAt: Date | null;
  readonly lastCompletedAt: Date | null;
  readonly createdAt: Date;
}

const SELECT = `
  select s.id, c.workspace, s.collection_id as "collectionId", c.name as collection,
         s.connector_type as "connectorType", s.credential_manager as "credentialManager",
         s.credential_id as "credentialId", s.credential_version as "credentialVersion",
         s.credential_fields as "credentialFields", s.path, s.settings, s.include, s.exclude, s.max_bytes as "maxBytes",
         s.auto_sync as "autoSync", s.schedule, s.guard_documents as "guardDocuments",
         s.guard_share as "guardShare", s.document_count as documents, s.byte_count as bytes,
         s.next_due_at as "nextDueAt", s.last_completed_at as "lastCompletedAt", s.created_at as "createdAt"
    from lockgate.source s
    join lockgate.collection c on c.id = s.collection_id`;

export async function addSource(
  db: Queryable,
  workspace: string,
  collectionId: string,
  settings: SourceSettings,
  nextDueAt: Date | null,
): Promise<SourceRecord> {
  const id = newId();
  await db.query(
    `insert into lockgate.source (id, collection_id, connector_type, credential_manager, credential_id, path, include,
       exclude, max_bytes, auto_sync, schedule, next_due_at, guard_documents, guard_share, settings,
       credential_version, credential_fields)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
    [
      id,
      collectionId,
      settings.connectorType,
      settings.credentialManager,
      settings.credentialId,
      settings.path,
      settings.include,
      settings.exclude,
      settings.maxBytes,
      settings.autoSync,
      settings.schedule ? JSON.stringify(settings.schedule) : null,
      nextDueAt,
      settings.guardDocuments,
      settings.guardShare,
      JSON.stringify(settings.settings),
      settings.credentialVersion,
      settings.credentialFields ? JSON.stringify(settings.credentialFields) : null,
    ],
  );
  return findSource(db, workspace, id);
}

export function listSources(db: Queryable, workspace: string, collectionId?: string): Promise<SourceRecord[]> {
  return db.query<SourceRecord>(
    `${SELECT} where c.workspace = $1 and ($2::uuid is null or c.id = $2) order by c.name, s.created_at, s.id`,
    [workspace, collectionId ?? null],
  );
}

/** Throws `source_not_found`. */
export async function findSource(db: Queryable, workspace: string, id: string): Promise<SourceRecord> {
  const [found] = isId(id)
    ? await db.query<SourceRecord>(`${SELECT} where c.workspace = $1 and s.id = $2`, [workspace, id])
    : [];
  if (found) return found;
  throw new LockgateError('source_not_found', `There is no source "${id}".`, 'List them with: lockgate sources list');
}

/** Removes the source with its documents; each removal is in the change feed, in numbered batches of `limit`. */
export async function removeSourceDocuments(db: Queryable, source: SourceRecord, limit: number): Promise<number> {
  const [counted] = await db.query<{ removed: number }>(
    `with gone as (
       delete from lockgate.document where id in (
         select id from lockgate.document where source_id = $1 order by key limit $2)
       returning *
     ), numbered as (select *, row_number() over (order by key) as n from gone),
     counter as (
       update lockgate.collection set last_change = last_change + (select count(*) from gone)
        where id = $3 returning last_change
     ), fed as (
       insert into lockgate.change (collection_id, number, kind, document_id, source_id, key, path, version, size, sha256, run_id)
       select $3, counter.last_change - (select count(*) from gone) + n, 'removed', id, source_id, key, path, version, size, sha256, $1
         from numbered, counter
     )
     select count(*) as removed from gone`,
    [source.id, limit, source.collectionId],
  );
  return counted?.removed ?? 0;
}

export async function removeSource(db: Queryable, id: string): Promise<void> {
  await db.query('delete from lockgate.source where id = $1', [id]);
}

/** Sources whose time has come, the longest waiting first. */
export function dueSources(db: Queryable, now: Date, limit: number): Promise<SourceRecord[]> {
  return db.query<SourceRecord>(`${SELECT} where s.auto_sync and s.next_due_at <= $1 order by s.next_due_at limit $2`, [
    now,
    limit,
  ]);
}

/** Moves a due time on. False when another scheduler did it first. */
export async function advanceDueTime(db: Queryable, id: string, from: Date, to: Date | null): Promise<boolean> {
  const moved = await db.query(
    'update lockgate.source set next_due_at = $3 where id = $1 and next_due_at = $2 returning id',
    [id, from, to],
  );
  return moved.length > 0;
}
