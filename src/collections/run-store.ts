import { type Entry, UNREADABLE_REASONS } from '../contract/connector.ts';
import type { Database, Queryable } from '../contract/database.ts';
import { LockgateError } from '../contract/errors.ts';
import type { Checkpoint, FetchBatch, IndexRow, Outcome, RunFigures, RunStore } from '../contract/run.ts';
import { keepContent } from './garbage.ts';
import { newId } from './id.ts';
import { openMirror } from './mirror.ts';

export interface OwnedRun {
  readonly id: string;
  readonly attempt: number;
  readonly sourceId: string;
  readonly collectionId: string;
}

/** The rows of one run, for the attempt that owns it. */
export function openRunStore(db: Database, run: OwnedRun): RunStore {
  return {
    progress: () => readProgress(db, run),
    indexRange: (after, upTo, limit) =>
      db.query<IndexRow>(
        `select key, path, version, coalesce(listed_size, size) as size from lockgate.document
          where source_id = $1 and ($2::text is null or key > $2) and ($3::text is null or key <= $3)
          order by key limit $4`,
        [run.sourceId, after, upTo, limit],
      ),
    indexRows: (keys) =>
      db.query<IndexRow>(
        'select key, path, version, coalesce(listed_size, size) as size from lockgate.document where source_id = $1 and key = any($2)',
        [run.sourceId, keys],
      ),
    pendingBatches: () =>
      db.query<FetchBatch>('select number, entries from lockgate.fetch_batch where run_id = $1 order by number', [
        run.id,
      ]),
    restartUnordered: () => db.transaction((tx) => restartUnordered(tx, run)),
    mirror: openMirror(db, run.sourceId, (tx) => claim(tx, run, {})),
    checkpoint: (step) => db.transaction((tx) => writeCheckpoint(tx, run, step)),
    keepContent: (sha256s) => keepContent(db, sha256s),
    commit: (outcomes, settled) => db.transaction((tx) => writeOutcomes(tx, run, outcomes, settled)),
    missingShare: () => readMissingShare(db, run),
    removeMissing: (limit) => db.transaction((tx) => removeMissing(tx, run, limit)),
    heartbeat: () => beat(db, run),
  };
}

async function readProgress(db: Queryable, run: OwnedRun) {
  const [row] = await db.query<Awaited<ReturnType<RunStore['progress']>>>(
    `select position, through, listing_complete as "listingComplete", next_batch as "nextBatch", approved, unordered
       from lockgate.run where id = $1 and attempt = $2`,
    [run.id, run.attempt],
  );
  if (!row) throw lost();
  return row;
}

async function beat(db: Queryable, run: OwnedRun): Promise<{ cancelRequested: boolean }> {
  const [row] = await db.query<{ cancelRequested: boolean }>(
    `update lockgate.run set heartbeat_at = now() where id = $1 and attempt = $2 and state = 'running'
     returning cancel_requested as "cancelRequested"`,
    [run.id, run.attempt],
  );
  if (!row) throw lost();
  return row;
}

const FIGURE_COLUMNS: Readonly<Record<keyof RunFigures, string>> = {
  pages: 'pages',
  listed: 'listed',
  excluded: 'excluded',
  unchanged: 'unchanged',
  added: 'added',
  changed: 'changed',
  moved: 'moved',
  removed: 'removed',
  failed: 'failed',
  bytes: 'bytes',
  planned: 'planned',
  plannedBytes: 'planned_bytes',
};

/** Adds to the run's figures, and in doing so proves that this attempt still owns it: its row stays locked until the commit. */
async function claim(tx: Queryable, run: OwnedRun, figures: Partial<RunFigures>): Promise<void> {
  const names = Object.keys(figures) as (keyof RunFigures)[];
  const sets = names.map((name, i) => `${FIGURE_COLUMNS[name]} = ${FIGURE_COLUMNS[name]} + $${i + 3}`);
  const owned = await tx.query(
    `update lockgate.run set ${['heartbeat_at = now()', ...sets].join(', ')}
      where id = $1 and attempt = $2 and state = 'running' returning id`,
    [run.id, run.attempt, ...names.map((name) => figures[name])],
  );
  if (owned.length === 0) throw lost();
}

async function writeCheckpoint(tx: Queryable, run: OwnedRun, step: Checkpoint): Promise<void> {
  await claim(tx, run, step.figures);
  await tx.query(
    'update lockgate.run set position = $2, through = $3, listing_complete = $4, next_batch = next_batch + $5 where id = $1',
    [run.id, step.position, step.through, step.listingComplete, step.batches.length],
  );
  for (const batch of step.batches) {
    await tx.query('insert into lockgate.fetch_batch (run_id, number, entries) values ($1, $2, $3)', [
      run.id,
      batch.number,
      JSON.stringify(batch.entries),
    ]);
  }
  if (step.missing.length > 0) {
    await tx.query('update lockgate.document set missing_run = $2 where source_id = $1 and key = any($3)', [
      run.sourceId,
      run.id,
      step.missing,
    ]);
  }
  if (step.seen.length > 0) {
    await tx.query('update lockgate.document set seen_run = $2 where source_id = $1 and key = any($3)', [
      run.sourceId,
      run.id,
      step.seen,
    ]);
  }
  if (step.listingComplete) {
    await tx.query(
      `update lockgate.document d set missing_run = r.id from lockgate.run r
        where r.id = $1 and r.unordered and d.source_id = r.source_id and d.seen_run is distinct from r.id
          and (r.plan_id is null or exists (
                select 1 from lockgate.plan_item i
                 where i.plan_id = r.plan_id and i.key = d.key and i.action = 'remove'))`,
      [run.id],
    );
  }
  if (step.moved.length > 0) await writeMoves(tx, run, step.moved);
  await writeFailures(tx, run, step.unreadable.map(unreadableReason));
}

async function restartUnordered(tx: Queryable, run: OwnedRun): Promise<void> {
  await claim(tx, run, {});
  await tx.query(
    `update lockgate.run set unordered = true, position = null, through = null, pages = 0, listed = 0, excluded = 0,
            unchanged = 0 where id = $1`,
    [run.id],
  );
  await tx.query('update lockgate.document set missing_run = null where missing_run = $1', [run.id]);
}

async function writeMoves(tx: Queryable, run: OwnedRun, entries: readonly Entry[]): Promise<void> {
  const moved = [...new Map(entries.map((entry) => [entry.key, entry])).values()];
  const first = await takeNumbers(tx, run, moved.length);
  await tx.query(
    `with moved as (
       update lockgate.document d set path = row.path, modified_at = row.modified_at
         from unnest($1::text[], $2::text[], $3::timestamptz[]) with ordinality as row (key, path, modified_at, n)
        where d.source_id = $4 and d.key = row.key returning d.*, row.n
     )
     insert into lockgate.change (collection_id, number, kind, document_id, source_id, key, path, version, size, sha256, run_id)
     select $5, $6 + row_number() over (order by n) - 1, 'moved', id, source_id, key, path, version, size, sha256, $7 from moved`,
    [
      moved.map(({ key }) => key),
      moved.map(({ path }) => path),
      moved.map(({ modifiedAt }) => new Date(modifiedAt)),
      run.sourceId,
      run.collectionId,
      first,
      run.id,
    ],
  );
}

interface Failure {
  readonly entry: Entry;
  readonly code: string;
  readonly message: string;
}

function unreadableReason(entry: Entry): Failure {
  if (entry.unreadable) return { entry, code: entry.unreadable, message: UNREADABLE_REASONS[entry.unreadable] };
  return { entry, code: 'unsupported_key', message: 'The key has characters that cannot be stored.' };
}

async function writeOutcomes(tx: Queryable, run: OwnedRun, outcomes: readonly Outcome[], settled: readonly number[]) {
  const failures = outcomes.filter((outcome) => outcome.kind === 'failed');
  // A listing in no order may have had a key twice: the later one counts.
  const byKey = new Map(outcomes.flatMap((each) => (each.kind === 'stored' ? [[each.entry.key, each] as const] : [])));
  const stored = [...byKey.values()];
  const keys = stored.map(({ entry }) => entry.key);
  const known = await tx.query<{ id: string; key: string; size: number }>(
    'select id, key, size from lockgate.document where source_id = $1 and key = any($2)',
    [run.sourceId, keys],
  );
  const bytes = stored.reduce((sum, { content }) => sum + content.size, 0);
  await claim(tx, run, {
    added: stored.length - known.length,
    changed: known.length,
    failed: failures.length,
    bytes,
  });
  if (stored.length > 0) await writeDocuments(tx, run, stored, new Map(known.map((row) => [row.key, row.id])));
  if (stored.length > 0) {
    const before = known.reduce((sum, row) => sum + row.size, 0);
    await countDocuments(tx, run, stored.length - known.length, bytes - before);
    await tx.query('delete from lockgate.document_failure where source_id = $1 and key = any($2)', [
      run.sourceId,
      keys,
    ]);
  }
  await writeFailures(tx, run, failures);
  if (settled.length > 0) {
    await tx.query('delete from lockgate.fetch_batch where run_id = $1 and number = any($2)', [run.id, settled]);
  }
}

type Stored = Extract<Outcome, { kind: 'stored' }>;

async function writeDocuments(tx: Queryable, run: OwnedRun, stored: readonly Stored[], ids: Map<string, string>) {
  const first = await takeNumbers(tx, run, stored.length);
  const columns = [
    stored.map(({ entry }) => ids.get(entry.key) ?? newId()),
    stored.map(({ entry }) => entry.key),
    stored.map(({ entry }) => entry.path),
    stored.map(({ entry }) => entry.version),
    stored.map(({ content }) => content.size),
    stored.map(({ entry }) => new Date(entry.modifiedAt)),
    stored.map(({ contentType }) => contentType),
    stored.map(({ content }) => Buffer.from(content.sha256, 'hex')),
    stored.map(({ entry }) => (ids.has(entry.key) ? 'changed' : 'added')),
    stored.map((_, i) => first + i),
    stored.map(({ warning }) => warning),
    stored.map(({ entry, content }) => (entry.size === content.size ? null : entry.size)),
    stored.map(({ grants }) => (grants ? JSON.stringify(grants) : null)),
  ];
  await tx.query(
    `with input as (
       select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[], $7::text[], $8::bytea[], $9::text[], $10::bigint[], $11::text[], $12::bigint[], $13::jsonb[])
         as row (id, key, path, version, size, modified_at, content_type, sha256, kind, number, warning, listed_size, grants)
     ), fed as (
       insert into lockgate.change (collection_id, number, kind, document_id, source_id, key, path, version, size, sha256, run_id)
       select $15, number, kind, id, $14, key, path, version, size, sha256, $16 from input
     )
     insert into lockgate.document (id, source_id, key, path, version, size, modified_at, content_type, sha256, warning, listed_size, grants, seen_run)
     select id, $14, key, path, version, size, modified_at, content_type, sha256, warning, listed_size, grants, $16 from input
     on conflict (source_id, key) do update set path = excluded.path, version = excluded.version, size = excluded.size,
       modified_at = excluded.modified_at, content_type = excluded.content_type, sha256 = excluded.sha256,
       warning = excluded.warning, listed_size = excluded.listed_size, grants = excluded.grants, seen_run = excluded.seen_run, stored_at = now(), missing_run = null`,
    [...columns, run.sourceId, run.collectionId, run.id],
  );
}

/** Reserves the collection's next `count` change numbers. Its row stays locked until the commit: see `collection.last_change`. */
async function takeNumbers(tx: Queryable, run: OwnedRun, count: number): Promise<number> {
  const [row] = await tx.query<{ last: number }>(
    'update lockgate.collection set last_change = last_change + $2 where id = $1 returning last_change as last',
    [run.collectionId, count],
  );
  if (!row) throw lost();
  return row.last - count + 1;
}

async function countDocuments(tx: Queryable, run: OwnedRun, documents: number, bytes: number): Promise<void> {
  await tx.query(
    'update lockgate.source set document_count = document_count + $2, byte_count = byte_count + $3 where id = $1',
    [run.sourceId, documents, bytes],
  );
}

async function writeFailures(tx: Queryable, run: OwnedRun, failures: readonly Failure[]): Promise<void> {
  if (failures.length === 0) return;
  await tx.query(
    `insert into lockgate.document_failure (source_id, key, path, version, size, code, message, run_id)
     select $1, row.key, row.path, row.version, row.size, row.code, row.message, $2
       from unnest($3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[])
         as row (key, path, version, size, code, message)
     on conflict (source_id, key) do update set version = excluded.version, size = excluded.size, code = excluded.code,
       message = excluded.message, run_id = excluded.run_id, last_at = now(),
       attempts = lockgate.document_failure.attempts + 1`,
    [
      run.sourceId,
      run.id,
      failures.map(({ entry }) => storable(entry.key)),
      failures.map(({ entry }) => storable(entry.path)),
      failures.map(({ entry }) => entry.version),
      failures.map(({ entry }) => entry.size),
      failures.map(({ code }) => code),
      failures.map(({ message }) => message),
    ],
  );
}

/** A key as PostgreSQL text can hold it: what it cannot is written as an escape. Only for people to read. */
function storable(key: string): string {
  return key.toWellFormed().replaceAll('\0', '\\u0000');
}

async function readMissingShare(db: Queryable, run: OwnedRun): Promise<{ missing: number; documents: number }> {
  const [row] = await db.query<{ missing: number; documents: number }>(
    `select (select count(*) from lockgate.document where missing_run = r.id) as missing,
            s.document_count - r.added as documents
       from lockgate.run r join lockgate.source s on s.id = r.source_id where r.id = $1`,
    [run.id],
  );
  return row ?? { missing: 0, documents: 0 };
}

async function removeMissing(tx: Queryable, run: OwnedRun, limit: number): Promise<number> {
  const gone = await tx.query<{ id: string; size: number; key: string }>(
    `select id, size, key from lockgate.document where missing_run = $1 order by key limit $2`,
    [run.id, limit],
  );
  await claim(tx, run, { removed: gone.length });
  if (gone.length === 0) return 0;
  const first = await takeNumbers(tx, run, gone.length);
  await tx.query(
    `with gone as (
       delete from lockgate.document d using unnest($1::uuid[]) with ordinality as row (id, n)
        where d.id = row.id returning d.*, row.n
     )
     insert into lockgate.change (collection_id, number, kind, document_id, source_id, key, path, version, size, sha256, run_id)
     select $2, $3 + n - 1, 'removed', id, source_id, key, path, version, size, sha256, $4 from gone`,
    [gone.map((row) => row.id), run.collectionId, first, run.id],
  );
  const bytes = gone.reduce((sum, row) => sum + row.size, 0);
  await countDocuments(tx, run, -gone.length, -bytes);
  return gone.length;
}

function lost(): LockgateError {
  return new LockgateError('run_lost', 'Another worker has taken this run over, or it has ended.');
}
