import type { ConnectorType } from '../contract/connector.ts';
import type { Database, Queryable } from '../contract/database.ts';
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
  /** Due times are put off by a random part of this. */
  readonly jitterSeconds: number;
  /** After so many failed runs in a row the schedule is not followed any more; null: it always is. */
  readonly pauseAfter: number | null;
  /** Only workers with this label take it; null: any. */
  readonly workerLabel: string | null;
}

/** Where documents would come from and which, with the names that the credential's bounds are compared with. */
export interface Place
  extends Pick<
    SourceSettings,
    | 'connectorType'
    | 'credentialManager'
    | 'credentialId'
    | 'credentialVersion'
    | 'credentialFields'
    | 'path'
    | 'settings'
    | 'include'
    | 'exclude'
    | 'maxBytes'
    | 'workerLabel'
  > {
  readonly workspace: string;
  /** Null: of none. */
  readonly collection: string | null;
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
  /** Runs in a row that failed. */
  readonly failures: number;
  /** Since when the schedule is not followed, and why. */
  readonly pausedAt: Date | null;
  readonly pausedReason: string | null;
  /** Whose quota its requests count against; null: it was never opened. */
  readonly quota: string | null;
  readonly createdAt: Date;
}

const SELECT = `
  select s.id, c.workspace, s.collection_id as "collectionId", c.name as collection,
         s.connector_type as "connectorType", s.credential_manager as "credentialManager",
         s.credential_id as "credentialId", s.credential_version as "credentialVersion",
         s.credential_fields as "credentialFields", s.path, s.settings, s.include, s.exclude, s.max_bytes as "maxBytes",
         s.auto_sync as "autoSync", s.schedule, s.guard_documents as "guardDocuments",
         s.guard_share as "guardShare", s.jitter_seconds as "jitterSeconds", s.pause_after as "pauseAfter",
         s.worker_label as "workerLabel", s.quota, s.failures, s.paused_at as "pausedAt", s.paused_reason as "pausedReason", s.document_count as documents, s.byte_count as bytes,
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
       credential_version, credential_fields, jitter_seconds, pause_after, worker_label)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)`,
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
      settings.jitterSeconds,
      settings.pauseAfter,
      settings.workerLabel,
    ],
  );
  return findSource(db, workspace, id);
}

export function listSources(db: Queryable, workspace: string, collectionId?: string): Promise<SourceRecord[]> {
  return db.query<SourceRecord>(
    `${SELECT} where c.workspace = $1 and ($2::uuid is null or c.id = $2) and s.removed_at is null order by c.name, s.created_at, s.id`,
    [workspace, collectionId ?? null],
  );
}

/** Throws `source_not_found`. */
export async function findSource(db: Queryable, workspace: string, id: string): Promise<SourceRecord> {
  const [found] = isId(id)
    ? await db.query<SourceRecord>(`${SELECT} where c.workspace = $1 and s.id = $2 and s.removed_at is null`, [
        workspace,
        id,
      ])
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

/** Has everything about a source as in `settings`. */
export async function updateSource(
  db: Queryable,
  id: string,
  settings: SourceSettings,
  nextDueAt: Date | null,
): Promise<void> {
  await db.query(
    `update lockgate.source set credential_manager = $2, credential_id = $3, credential_version = $4, credential_fields = $5,
            path = $6, settings = $7, include = $8, exclude = $9, max_bytes = $10, auto_sync = $11, schedule = $12,
            next_due_at = $13, guard_documents = $14, guard_share = $15, jitter_seconds = $16, pause_after = $17, worker_label = $18
      where id = $1`,
    [
      id,
      settings.credentialManager,
      settings.credentialId,
      settings.credentialVersion,
      settings.credentialFields ? JSON.stringify(settings.credentialFields) : null,
      settings.path,
      JSON.stringify(settings.settings),
      settings.include,
      settings.exclude,
      settings.maxBytes,
      settings.autoSync,
      settings.schedule ? JSON.stringify(settings.schedule) : null,
      nextDueAt,
      settings.guardDocuments,
      settings.guardShare,
      settings.jitterSeconds,
      settings.pauseAfter,
      settings.workerLabel,
    ],
  );
}

/** What requests of the source count against, as its connector says. */
export async function noteQuota(db: Queryable, id: string, quota: string): Promise<void> {
  await db.query('update lockgate.source set quota = $2 where id = $1', [id, quota]);
}

/** Has the schedule of a source not followed, or followed again: then it is due at once, and its failures are forgotten. */
export async function pauseSource(db: Queryable, id: string, reason: string | null): Promise<void> {
  await db.query(
    reason === null
      ? `update lockgate.source set paused_at = null, paused_reason = null, failures = 0,
                next_due_at = case when auto_sync and schedule is not null then now() end where id = $1 and $2::text is null`
      : 'update lockgate.source set paused_at = coalesce(paused_at, now()), paused_reason = $2 where id = $1',
    [id, reason],
  );
}

/** Removes a source from sight; its documents stay as they are. */
export async function detachDocuments(db: Queryable, id: string): Promise<void> {
  await db.query('update lockgate.source set removed_at = now(), auto_sync = false, next_due_at = null where id = $1', [
    id,
  ]);
}

/** Another collection gets the documents of a source: each is removed in one change feed and added in the other. */
export async function moveSource(db: Database, source: SourceRecord, collectionId: string): Promise<void> {
  if (source.collectionId === collectionId) return;
  await db.transaction(async (tx) => {
    await tx.query('select id from lockgate.source where id = $1 for update', [source.id]);
    for (const [kind, collection] of [
      ['removed', source.collectionId],
      ['added', collectionId],
    ] as const) {
      await tx.query(
        `with numbered as (
           select *, row_number() over (order by key) as n from lockgate.document where source_id = $1
         ), counter as (
           update lockgate.collection set last_change = last_change + (select count(*) from numbered)
            where id = $2 returning last_change
         )
         insert into lockgate.change (collection_id, number, kind, document_id, source_id, key, path, version, size, sha256, run_id)
         select $2, counter.last_change - (select count(*) from numbered) + n, $3, id, source_id, key, path, version, size, sha256, $1
           from numbered, counter`,
        [source.id, collection, kind],
      );
    }
    await tx.query('update lockgate.source set collection_id = $2 where id = $1', [source.id, collectionId]);
  });
}

export async function removeSource(db: Database, id: string): Promise<void> {
  await db.transaction((tx) => tx.query('delete from lockgate.source where id = $1', [id]));
}
