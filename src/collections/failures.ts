import type { Entry } from '../contract/connector.ts';
import { columnsIn, type Queryable } from '../contract/database.ts';
import { storableKey, storableText } from '../contract/storable.ts';

/** So often a version of a document is tried; then it waits for somebody to have it tried again, or for another version. */
export const MOST_ATTEMPTS = 10;
/** Of a row `f` that fails again. */
const ATTEMPTS = 'case when f.version = excluded.version then f.attempts + 1 else 1 end';

/** A minute after the first failure, four times as long after each further one, up to a day. */
function nextAt(attempts: string): string {
  return `now() + least(interval '1 day', interval '1 minute' * 4 ^ least(${attempts} - 1, 10))`;
}

export interface Failure {
  readonly entry: Entry;
  readonly code: string;
  readonly message: string;
}

export async function writeFailures(
  tx: Queryable,
  run: { readonly id: string; readonly sourceId: string },
  failures: readonly Failure[],
): Promise<void> {
  if (failures.length === 0) return;
  // One row each, also where a listing in no order has a key twice.
  const of = columnsIn([...new Map(failures.map((each) => [storableKey(each.entry.key), each])).values()]);
  await tx.query(
    `insert into lockgate.document_failure as f (source_id, key, path, version, size, code, message, run_id, next_at)
     select $1, row.key, row.path, row.version, row.size, row.code, row.message, $2, ${nextAt('1')}
       from unnest($3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[])
         as row (key, path, version, size, code, message)
     on conflict (source_id, key) do update set version = excluded.version, size = excluded.size, code = excluded.code,
       message = excluded.message, run_id = excluded.run_id, last_at = now(), attempts = ${ATTEMPTS},
       next_at = ${nextAt(ATTEMPTS)}, given_up_at = case when ${ATTEMPTS} >= ${MOST_ATTEMPTS} then now() end`,
    [
      run.sourceId,
      run.id,
      of('text', ({ entry }) => storableKey(entry.key)),
      of('text', ({ entry }) => storableText(entry.path)),
      of('text', ({ entry }) => storableText(entry.version)),
      of('bigint', ({ entry }) => entry.size),
      of('text', ({ code }) => code),
      of('text', ({ message }) => storableText(message)),
    ],
  );
}

/**
 * Those of these entries that failed so often that they are given up, or so recently that a scheduled run leaves them. A run that
 * somebody asked for tries all that is not given up.
 */
export async function putOff(
  db: Queryable,
  run: { readonly id: string; readonly sourceId: string },
  entries: readonly Entry[],
): Promise<ReadonlySet<Entry>> {
  const rows = await db.query<{ key: string; version: string }>(
    `select f.key, f.version from lockgate.document_failure f
      where f.source_id = $1 and f.key = any($2)
        and (f.given_up_at is not null
             or (f.next_at > now() and exists (select 1 from lockgate.run r where r.id = $3 and r.trigger = 'schedule')))`,
    [run.sourceId, columnsIn(entries)('text', ({ key }) => storableKey(key)), run.id],
  );
  if (rows.length === 0) return new Set();
  const versions = new Map(rows.map(({ key, version }) => [key, version]));
  return new Set(entries.filter(({ key, version }) => versions.get(storableKey(key)) === version));
}

/** Says of failures that they still stand, though this run did not try. */
export async function touchFailures(
  tx: Queryable,
  run: { readonly id: string; readonly sourceId: string },
  entries: readonly Entry[],
): Promise<void> {
  if (entries.length === 0) return;
  await tx.query('update lockgate.document_failure set run_id = $2 where source_id = $1 and key = any($3)', [
    run.sourceId,
    run.id,
    columnsIn(entries)('text', ({ key }) => storableKey(key)),
  ]);
}

/** What could not be fetched. */
export interface FailureRecord {
  readonly sourceId: string;
  readonly key: string;
  readonly path: string;
  readonly version: string;
  readonly size: number;
  readonly code: string;
  readonly message: string;
  readonly attempts: number;
  readonly firstAt: Date;
  readonly lastAt: Date;
  /** Before that, no scheduled run tries it. */
  readonly nextAt: Date | null;
  /** Since when it is not tried any more. */
  readonly givenUpAt: Date | null;
}

const SELECT = `
  select f.source_id as "sourceId", f.key, f.path, f.version, f.size, f.code, f.message, f.attempts, f.first_at as "firstAt",
         f.last_at as "lastAt", f.next_at as "nextAt", f.given_up_at as "givenUpAt"
    from lockgate.document_failure f`;

/** In the order of the keys. */
export function listFailures(db: Queryable, sourceId: string, limit: number): Promise<FailureRecord[]> {
  return db.query<FailureRecord>(`${SELECT} where f.source_id = $1 order by f.key limit $2`, [sourceId, limit]);
}

/** Of all sources of a collection, given up ones first. */
export function listCollectionFailures(db: Queryable, collectionId: string, limit: number): Promise<FailureRecord[]> {
  return db.query<FailureRecord>(
    `${SELECT} join lockgate.source s on s.id = f.source_id where s.collection_id = $1
      order by f.given_up_at nulls last, f.source_id, f.key limit $2`,
    [collectionId, limit],
  );
}

/** Has failures of a collection tried again by the next run, as if they had never been: all, or those of one path. Returns how many. */
export async function retryFailures(db: Queryable, collectionId: string, path: string | null): Promise<number> {
  const rows = await db.query(
    `update lockgate.document_failure f set attempts = 0, next_at = null, given_up_at = null
       from lockgate.source s where s.id = f.source_id and s.collection_id = $1
        and ($2::text is null or f.path = $2 or f.key = $2) returning 1`,
    [collectionId, path],
  );
  return rows.length;
}

/** Of one path or key of a source. */
export async function findFailure(db: Queryable, sourceId: string, path: string): Promise<FailureRecord | null> {
  const [found] = await db.query<FailureRecord>(
    `${SELECT} where f.source_id = $1 and (f.path = $2 or f.key = $2) limit 1`,
    [sourceId, path],
  );
  return found ?? null;
}
