import { type Entry, UNREADABLE_REASONS } from '../contract/connector.ts';
import { Column, columnsIn, type Database, type Queryable } from '../contract/database.ts';
import type { Checkpoint, ListingPart, RunStore } from '../contract/run.ts';
import { boundAt, isStorableText, KEY_BYTES } from '../contract/storable.ts';
import { type Failure, putOff, touchFailures, writeFailures } from './failures.ts';
import { addFigures, countDocuments, type HandOfRun, lost, openHandStore, takeNumbers } from './hand-store.ts';
import { buryHands } from './hands.ts';
import { forgetChunks, forgetChunksAt, forgetOtherRules, readChunks, replaceChunks } from './listing-chunks.ts';
import { openIndex } from './listing-index.ts';
import { openMirror } from './mirror.ts';

/** A run that this process leads. */
export interface OwnedRun extends HandOfRun {
  readonly attempt: number;
  /** What the source's listing is to be compared by, as SHA-256 in hex; chunks that were made by other rules do not hold. */
  readonly rules: string;
}

/** The rows of one run, for the attempt that leads it. */
export function openRunStore(db: Database, run: OwnedRun): RunStore {
  const hand = openHandStore(db, run);
  return {
    ...hand,
    progress: () => readProgress(db, run),
    ...openIndex(db, run.sourceId),
    chunks: (from, limit) => readChunks(db, run, from, limit),
    putOff: (entries) => putOff(db, run, entries),
    restartUnordered: () => db.transaction((tx) => restartUnordered(tx, run)),
    splitPart: (of, parts) => db.transaction((tx) => splitPart(tx, run, of, parts)),
    mirror: openMirror(db, run.sourceId, (tx) => claim(tx, run)),
    checkpoint: (step) => db.transaction((tx) => writeCheckpoint(tx, run, step)),
    missingShare: () => readMissingShare(db, run),
    removeMissing: (limit) => db.transaction((tx) => removeMissing(tx, run, limit)),
    heartbeat: async () => {
      await claim(db, run);
      await buryHands(db, run.id);
      return hand.heartbeat();
    },
  };
}

/** Proves that this attempt still leads the run. */
function claim(tx: Queryable, run: OwnedRun, figures: Checkpoint['figures'] = {}): Promise<void> {
  return addFigures(tx, run.id, run.attempt, figures);
}

async function readProgress(db: Queryable, run: OwnedRun): ReturnType<RunStore['progress']> {
  const [row] = await db.query<{
    listingComplete: boolean;
    nextBatch: number;
    approved: boolean;
    unordered: boolean;
  }>(
    `select listing_complete as "listingComplete", next_batch as "nextBatch", approved, unordered
       from lockgate.run where id = $1 and attempt = $2`,
    [run.id, run.attempt],
  );
  if (!row) throw lost();
  await forgetOtherRules(db, run);
  const parts = await db.query<ListingPart & { complete: boolean }>(
    `select number, after, up_to as "upTo", followed_by as "followedBy", position, through, complete from lockgate.listing_part
      where run_id = $1 order by number`,
    [run.id],
  );
  return {
    ...row,
    parts: parts.filter(({ complete }) => !complete).map(({ complete: _, ...part }) => part),
    nextPart: (parts.at(-1)?.number ?? 0) + 1,
  };
}

async function writeCheckpoint(tx: Queryable, run: OwnedRun, step: Checkpoint): Promise<void> {
  await claim(tx, run, step.figures);
  await tx.query(
    'update lockgate.listing_part set position = $3, through = $4, complete = $5 where run_id = $1 and number = $2',
    [run.id, step.part, positionOf(step), boundAt(step.through), step.complete],
  );
  if (step.batches.length > 0) await writeBatches(tx, run, step.batches);
  await replaceChunks(tx, run, step);
  await mark(tx, run, 'missing_run', step.missing);
  await mark(tx, run, 'seen_run', step.seen);
  if (step.complete) await noteCompleteListing(tx, run);
  if (step.moved.length > 0) await writeMoves(tx, run, step.moved);
  await writeFailures(tx, run, step.unreadable.map(unreadableReason));
  await touchFailures(tx, run, step.putOff);
}

/** A place that cannot be written down is found again by what was dealt with. */
function positionOf({ position }: Checkpoint): string | null {
  return position?.includes('\0') ? null : position;
}

async function writeBatches(tx: Queryable, run: OwnedRun, batches: Checkpoint['batches']): Promise<void> {
  const of = columnsIn(batches);
  await tx.query(
    `insert into lockgate.fetch_batch (run_id, number, entries, hand_id)
     select $1, number, entries::json, case when mine then $2::uuid end
       from unnest($3::int[], $4::text[], $5::boolean[]) as row (number, entries, mine)`,
    [
      run.id,
      run.hand,
      of('int', ({ number }) => number),
      of('text', ({ entries }) => JSON.stringify(entries)),
      of('boolean', ({ mine }) => mine),
    ],
  );
  // Numbers may be left out: parts of a listing take them side by side.
  await tx.query('update lockgate.run set next_batch = greatest(next_batch, $2) where id = $1', [
    run.id,
    Math.max(...batches.map(({ number }) => number)) + 1,
  ]);
}

async function mark(tx: Queryable, run: OwnedRun, column: 'missing_run' | 'seen_run', keys: readonly string[]) {
  if (keys.length === 0) return;
  await tx.query(`update lockgate.document set ${column} = $2 where source_id = $1 and key = any($3)`, [
    run.sourceId,
    run.id,
    new Column('text', keys),
  ]);
}

/** When no part is left, the listing is complete; one in no order then says what it has not seen. */
async function noteCompleteListing(tx: Queryable, run: OwnedRun): Promise<void> {
  await tx.query(
    `update lockgate.run r set listing_complete = true
      where r.id = $1 and not exists (select 1 from lockgate.listing_part p where p.run_id = r.id and not p.complete)`,
    [run.id],
  );
  await tx.query(
    `update lockgate.document d set missing_run = r.id from lockgate.run r
      where r.id = $1 and r.unordered and r.listing_complete and d.source_id = r.source_id
        and d.seen_run is distinct from r.id
        and (r.plan_id is null or exists (
              select 1 from lockgate.plan_item i
               where i.plan_id = r.plan_id and i.key = d.key and i.action = 'remove'))`,
    [run.id],
  );
}

async function restartUnordered(tx: Queryable, run: OwnedRun): Promise<void> {
  await claim(tx, run);
  await tx.query(
    'update lockgate.run set unordered = true, pages = 0, listed = 0, excluded = 0, unchanged = 0 where id = $1',
    [run.id],
  );
  await forgetChunks(tx, run.sourceId);
  await tx.query('delete from lockgate.listing_part where run_id = $1', [run.id]);
  await tx.query('insert into lockgate.listing_part (run_id, number) values ($1, 0)', [run.id]);
  await tx.query('update lockgate.document set missing_run = null where missing_run = $1', [run.id]);
}

async function splitPart(
  tx: Queryable,
  run: OwnedRun,
  of: Parameters<RunStore['splitPart']>[0],
  parts: readonly ListingPart[],
): Promise<void> {
  await claim(tx, run);
  // The chunk in which a cut lies is compared in two halves, of which one may never be.
  await forgetChunksAt(
    tx,
    run.sourceId,
    parts.map(({ after }) => after ?? ''),
  );
  await tx.query('update lockgate.listing_part set up_to = $3, followed_by = $4 where run_id = $1 and number = $2', [
    run.id,
    of.number,
    of.upTo,
    of.followedBy,
  ]);
  await tx.query(
    `insert into lockgate.listing_part (run_id, number, after, up_to, followed_by, through)
     select $1, row.number, row.after, row.up_to, row.followed_by, row.after
       from unnest($2::int[], $3::text[], $4::text[], $5::text[]) as row (number, after, up_to, followed_by)`,
    [
      run.id,
      parts.map(({ number }) => number),
      parts.map(({ after }) => after),
      parts.map(({ upTo }) => upTo),
      parts.map(({ followedBy }) => followedBy),
    ],
  );
}

async function writeMoves(tx: Queryable, run: OwnedRun, entries: readonly Entry[]): Promise<void> {
  const moved = [...new Map(entries.map((entry) => [entry.key, entry])).values()];
  const first = await takeNumbers(tx, run.collectionId, moved.length);
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

function unreadableReason(entry: Entry): Failure {
  if (entry.unreadable) return { entry, code: entry.unreadable, message: UNREADABLE_REASONS[entry.unreadable] };
  const message = isStorableText(entry.key)
    ? `The key is longer than the ${KEY_BYTES} bytes that can be stored.`
    : 'The key has characters that cannot be stored.';
  return { entry, code: 'unsupported_key', message };
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
  const first = await takeNumbers(tx, run.collectionId, gone.length);
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
  await countDocuments(tx, run.sourceId, -gone.length, -bytes);
  return gone.length;
}
