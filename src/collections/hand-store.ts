import { type Column, columnsIn, type Database, isUniqueViolation, type Queryable } from '../contract/database.ts';
import { LockgateError } from '../contract/errors.ts';
import type { FetchBatch, HandStore, Outcome, RunFigures } from '../contract/run.ts';
import { writeFailures } from './failures.ts';
import { keepContent } from './garbage.ts';
import { newId } from './id.ts';
import { openIndex } from './listing-index.ts';

/** A process at work on a run. */
export interface HandOfRun {
  readonly id: string;
  readonly hand: string;
  readonly sourceId: string;
  readonly collectionId: string;
}

/** What one hand of a run reads and writes. */
export function openHandStore(db: Database, run: HandOfRun): HandStore {
  return {
    takeBatches: (limit) => takeBatches(db, run, limit),
    leftBatches: () => leftBatches(db, run.id),
    indexRows: openIndex(db, run.sourceId).indexRows,
    keepContent: (sha256s) => keepContent(db, sha256s),
    commit: (outcomes, settled) => commitAll(db, run, outcomes, settled),
    heartbeat: () => beat(db, run),
  };
}

/** Proves that this hand was not given up; until the commit neither it can be, nor the source be removed. In the order of a removal. */
async function holdHand(tx: Queryable, run: HandOfRun): Promise<void> {
  const source = await tx.query('select 1 from lockgate.source where id = $1 for key share', [run.sourceId]);
  if (source.length === 0) throw lost();
  const held = await tx.query('update lockgate.hand set heartbeat_at = now() where id = $1 returning id', [run.hand]);
  if (held.length === 0) throw lost();
}

async function beat(db: Queryable, run: HandOfRun): Promise<{ cancelRequested: boolean }> {
  const [row] = await db.query<{ cancelRequested: boolean }>(
    `update lockgate.hand h set heartbeat_at = now() from lockgate.run r
      where h.id = $1 and r.id = h.run_id and r.state = 'running' returning r.cancel_requested as "cancelRequested"`,
    [run.hand],
  );
  if (!row) throw lost();
  return row;
}

async function takeBatches(db: Queryable, run: HandOfRun, limit: number): Promise<FetchBatch[]> {
  const batches = await db.query<FetchBatch>(
    `update lockgate.fetch_batch b set hand_id = h.id
       from lockgate.hand h, (
         select number from lockgate.fetch_batch where run_id = $1 and hand_id is null
          order by number limit $3 for update skip locked) free
      where h.id = $2 and b.run_id = $1 and b.number = free.number returning b.number, b.entries`,
    [run.id, run.hand, limit],
  );
  return batches.sort((a, b) => a.number - b.number);
}

async function leftBatches(db: Queryable, runId: string): Promise<{ left: number; free: number }> {
  const [row] = await db.query<{ left: number; free: number }>(
    'select count(*) as left, count(*) filter (where hand_id is null) as free from lockgate.fetch_batch where run_id = $1',
    [runId],
  );
  return row ?? { left: 0, free: 0 };
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

/** A run that only fails gets no further. */
const FURTHER: readonly (keyof RunFigures)[] = ['listed', 'added', 'changed', 'moved', 'removed'];

/**
 * Adds to the figures of a run that is not over; with `attempt`, of one that this attempt leads. Throws `run_lost`. Its row
 * stays locked until the commit.
 */
export async function addFigures(
  tx: Queryable,
  runId: string,
  attempt: number | null,
  figures: Partial<RunFigures>,
): Promise<void> {
  const names = Object.keys(figures) as (keyof RunFigures)[];
  const sets = names.map((name, i) => `${FIGURE_COLUMNS[name]} = ${FIGURE_COLUMNS[name]} + $${i + 3}`);
  const further = FURTHER.some((name) => (figures[name] ?? 0) > 0) ? ['put_off = 0'] : [];
  const owned = await tx.query(
    `update lockgate.run set ${[...sets, ...further, names.length > 0 ? 'stalled = 0' : 'heartbeat_at = now()'].join(', ')}
      where id = $1 and ($2::int is null or attempt = $2) and state = 'running' returning id`,
    [runId, attempt, ...names.map((name) => figures[name])],
  );
  if (owned.length === 0) throw lost();
}

/**
 * One transaction, or where PostgreSQL does not take a value, several: by halves, down to the document that has it, which fails. Batches are
 * settled by the last of them.
 */
async function commitAll(
  db: Database,
  run: HandOfRun,
  outcomes: readonly Outcome[],
  settled: readonly number[],
): Promise<void> {
  try {
    await db.transaction((tx) => writeOutcomes(tx, run, outcomes, settled));
  } catch (error) {
    if (!isUnstorable(error)) throw error;
    const [first] = outcomes;
    if (outcomes.length > 1) {
      const middle = outcomes.length >> 1;
      await commitAll(db, run, outcomes.slice(0, middle), []);
      await commitAll(db, run, outcomes.slice(middle), settled);
    } else if (first?.kind === 'stored') {
      const failed = { kind: 'failed' as const, entry: first.entry, code: 'unstorable', message: UNSTORABLE };
      await commitAll(db, run, [failed], settled);
    } else throw error;
  }
}

const UNSTORABLE = 'What the source says of it (its time, type or version) cannot be stored.';

/** PostgreSQL's classes for values that it does not take and for rows that are too large; and a column of ours that a value does not fit. */
function isUnstorable(error: unknown): boolean {
  return error instanceof RangeError || /^(22|54)...$/.test((error as { code?: string }).code ?? '');
}

type Stored = Extract<Outcome, { kind: 'stored' }>;

/**
 * The rows that hands share (the source's, the run's, the collection's) are written last, so that hands wait for each other as
 * short as can be.
 */
async function writeOutcomes(
  tx: Queryable,
  run: HandOfRun,
  outcomes: readonly Outcome[],
  settled: readonly number[],
): Promise<void> {
  await holdHand(tx, run);
  const failures = outcomes.filter((outcome) => outcome.kind === 'failed');
  // A listing in no order may have had a key twice: the later one counts.
  const byKey = new Map(outcomes.flatMap((each) => (each.kind === 'stored' ? [[each.entry.key, each] as const] : [])));
  const stored = [...byKey.values()].sort((a, b) => (a.entry.key < b.entry.key ? -1 : 1));
  const keys = columnsIn(stored)('text', ({ entry }) => entry.key);
  const known = new Map(
    (
      await tx.query<{ id: string; key: string; size: number }>(
        'select id, key, size from lockgate.document where source_id = $1 and key = any($2)',
        [run.sourceId, keys],
      )
    ).map((row) => [row.key, row]),
  );
  const written = stored.map((each) => {
    const before = known.get(each.entry.key);
    return { ...each, id: before?.id ?? newId(), isNew: before === undefined };
  });
  if (settled.length > 0) {
    await tx.query('delete from lockgate.fetch_batch where run_id = $1 and number = any($2) and hand_id = $3', [
      run.id,
      settled,
      run.hand,
    ]);
  }
  await writeFailures(tx, run, failures);
  const columns = columnsOf(written, keys);
  const bytes = stored.reduce((sum, { content }) => sum + content.size, 0);
  const added = stored.length - known.size;
  if (written.length > 0) {
    await writeDocuments(tx, run, written, columns);
    await tx.query('delete from lockgate.document_failure where source_id = $1 and key = any($2)', [
      run.sourceId,
      keys,
    ]);
    const before = [...known.values()].reduce((sum, row) => sum + row.size, 0);
    await countDocuments(tx, run.sourceId, added, bytes - before);
  }
  await addFigures(tx, run.id, null, { added, changed: known.size, failed: failures.length, bytes });
  if (written.length === 0) return;
  await writeChanges(tx, run, written, columns);
  await assertQuota(tx, run.collectionId);
}

/** The collection's row is locked, so what its sources have is what is there and what this transaction adds. */
async function assertQuota(tx: Queryable, collectionId: string): Promise<void> {
  const [over] = await tx.query<{ documents: number | null; bytes: number | null }>(
    `select c.max_documents as documents, c.max_bytes as bytes from lockgate.collection c
      where c.id = $1 and (c.max_documents is not null or c.max_bytes is not null)
        and exists (select 1 from lockgate.source s where s.collection_id = c.id
                    having sum(s.document_count) > c.max_documents or sum(s.byte_count) > c.max_bytes)`,
    [collectionId],
  );
  if (!over) return;
  throw new LockgateError(
    'quota_exceeded',
    `The collection may have ${[over.documents === null ? '' : `${over.documents} documents`, over.bytes === null ? '' : `${over.bytes} bytes`].filter(Boolean).join(' and ')}, and the source has more for it.`,
    'What it has stays. Narrow the filters of the source, or raise the bound: lockgate collections limit',
  );
}

type Written = Stored & { readonly id: string; readonly isNew: boolean };

/** What documents and their changes have in common. */
function columnsOf(documents: readonly Written[], keys: Column) {
  const of = columnsIn(documents);
  return [
    of('uuid', ({ id }) => id),
    keys,
    of('text', ({ entry }) => entry.path),
    of('text', ({ entry }) => entry.version),
    of('bigint', ({ content }) => content.size),
    of('bytea', ({ content }) => content.sha256),
  ];
}

const OR_UPDATE = `on conflict (source_id, key) do update set path = excluded.path, version = excluded.version, size = excluded.size,
       modified_at = excluded.modified_at, content_type = excluded.content_type, sha256 = excluded.sha256,
       warning = excluded.warning, listed_size = excluded.listed_size, grants = excluded.grants, seen_run = excluded.seen_run, stored_at = now(), missing_run = null
       where d.id = excluded.id`;

async function writeDocuments(
  tx: Queryable,
  run: HandOfRun,
  documents: readonly Written[],
  columns: readonly Column[],
): Promise<void> {
  const of = columnsIn(documents);
  const inserting = `insert into lockgate.document as d (id, source_id, key, path, version, size, sha256, modified_at, content_type, warning, listed_size, grants, seen_run)
       select id, $1, key, path, version, size, sha256, modified_at, content_type, warning, listed_size, grants::jsonb, $2
         from unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bytea[], $9::timestamptz[], $10::text[], $11::text[], $12::bigint[], $13::text[])
           as row (id, key, path, version, size, sha256, modified_at, content_type, warning, listed_size, grants)`;
  const values = [
    run.sourceId,
    run.id,
    ...columns,
    of('timestamptz', ({ entry }) => entry.modifiedAt),
    of('text', ({ contentType }) => contentType),
    of('text', ({ warning }) => warning),
    of('bigint', ({ entry, content }) => (entry.size === content.size ? null : entry.size)),
    of('text', ({ grants }) => (grants ? JSON.stringify(grants) : null)),
  ];
  // Whoever has to look whether a row is there writes it in two steps.
  if (documents.every(({ isNew }) => isNew)) {
    await tx.query(inserting, values).catch((error: unknown) => {
      throw isUniqueViolation(error) ? twice() : error;
    });
    return;
  }
  const [written] = await tx.query<{ count: number }>(
    `with written as (${inserting} ${OR_UPDATE} returning 1) select count(*) as count from written`,
    values,
  );
  if (written?.count !== documents.length) throw twice();
}

/** A listing in no order had a key twice, and another hand was first with it: the whole is done again, with what is known now. */
function twice(): Error {
  return Object.assign(new Error('another hand has just stored the same key'), { code: SERIALIZATION_FAILURE });
}

/** PostgreSQL's code for "again from the beginning". */
const SERIALIZATION_FAILURE = '40001';

async function writeChanges(
  tx: Queryable,
  run: HandOfRun,
  documents: readonly Written[],
  columns: readonly Column[],
): Promise<void> {
  const first = await takeNumbers(tx, run.collectionId, documents.length);
  await tx.query(
    `insert into lockgate.change (collection_id, number, kind, document_id, source_id, key, path, version, size, sha256, run_id)
     select $1, $2 + n - 1, case when is_new then 'added' else 'changed' end, id, $3, key, path, version, size, sha256, $4
       from unnest($5::uuid[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::bytea[], $11::boolean[])
         with ordinality as row (id, key, path, version, size, sha256, is_new, n)`,
    [run.collectionId, first, run.sourceId, run.id, ...columns, columnsIn(documents)('boolean', ({ isNew }) => isNew)],
  );
}

/** Reserves the collection's next `count` change numbers. Its row stays locked until the commit: see `collection.last_change`. */
export async function takeNumbers(tx: Queryable, collectionId: string, count: number): Promise<number> {
  const [row] = await tx.query<{ last: number }>(
    'update lockgate.collection set last_change = last_change + $2 where id = $1 returning last_change as last',
    [collectionId, count],
  );
  if (!row) throw lost();
  return row.last - count + 1;
}

export async function countDocuments(tx: Queryable, sourceId: string, documents: number, bytes: number): Promise<void> {
  await tx.query(
    'update lockgate.source set document_count = document_count + $2, byte_count = byte_count + $3 where id = $1',
    [sourceId, documents, bytes],
  );
}

export function lost(): LockgateError {
  return new LockgateError('run_lost', 'Another worker has taken this run over, or it has ended.');
}
