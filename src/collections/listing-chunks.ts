import { Column, columnsIn, type Queryable } from '../contract/database.ts';
import type { Checkpoint, IndexChunk } from '../contract/run.ts';
import { boundAt } from '../contract/storable.ts';

/** Of what source chunks are, and by which rules (SHA-256, hex). */
export interface ChunkOwner {
  readonly id: string;
  readonly sourceId: string;
  readonly rules: string;
}

/** Chunks that begin with this key or behind it, in order. */
export async function readChunks(db: Queryable, run: ChunkOwner, from: string, limit: number): Promise<IndexChunk[]> {
  return db.query<IndexChunk>(
    `select from_key as "from", entries, excluded, encode(hash, 'hex') as hash from lockgate.listing_chunk
      where source_id = $1 and rules = decode($2, 'hex') and pending_run is null and from_key >= $3
      order by from_key limit $4`,
    [run.sourceId, run.rules, boundAt(from), limit],
  );
}

/** Forgets what was made by other rules: documents are about to follow these. */
export async function forgetOtherRules(db: Queryable, run: ChunkOwner): Promise<void> {
  await db.query(`delete from lockgate.listing_chunk where source_id = $1 and rules <> decode($2, 'hex')`, [
    run.sourceId,
    run.rules,
  ]);
}

export async function forgetChunks(db: Queryable, sourceId: string): Promise<void> {
  await db.query('delete from lockgate.listing_chunk where source_id = $1', [sourceId]);
}

/**
 * Forgets the chunk in whose middle each of these keys lies. What a run has left that did not end may begin between the two, and
 * is no chunk.
 */
export async function forgetChunksAt(db: Queryable, sourceId: string, keys: readonly string[]): Promise<void> {
  await db.query(
    `delete from lockgate.listing_chunk c using unnest($2::text[]) as row (key)
      where c.source_id = $1 and c.from_key = (
        select max(o.from_key) from lockgate.listing_chunk o
         where o.source_id = $1 and o.pending_run is null and o.from_key <= row.key collate "C")`,
    [sourceId, keys],
  );
}

/** Replaces the chunks of stretches that were compared with what they are now, of which nothing is concluded before the run has ended. */
export async function replaceChunks(tx: Queryable, run: ChunkOwner, { stale, chunks }: Checkpoint): Promise<void> {
  if (stale.length > 0) {
    await tx.query('delete from lockgate.listing_chunk where source_id = $1 and from_key = any($2)', [
      run.sourceId,
      new Column('text', stale),
    ]);
  }
  if (chunks.length === 0) return;
  const of = columnsIn(chunks);
  await tx.query(
    `insert into lockgate.listing_chunk (source_id, from_key, entries, excluded, hash, rules, pending_run)
     select $1, from_key, entries, excluded, hash, decode($2, 'hex'), $3
       from unnest($4::text[], $5::int[], $6::int[], $7::bytea[]) as row (from_key, entries, excluded, hash)
     on conflict (source_id, from_key) do update set entries = excluded.entries, excluded = excluded.excluded,
       hash = excluded.hash, rules = excluded.rules, pending_run = excluded.pending_run`,
    [
      run.sourceId,
      run.rules,
      run.id,
      of('text', ({ from }) => from),
      of('int', ({ entries }) => entries),
      of('int', ({ excluded }) => excluded),
      of('bytea', ({ hash }) => hash),
    ],
  );
}

/** A run has completed: its chunks hold, but for those in which something could not be fetched. */
export async function settleChunks(db: Queryable, sourceId: string, runId: string): Promise<void> {
  // First what other runs have left: it would hide the chunk in which a failure lies.
  await db.query('delete from lockgate.listing_chunk where source_id = $1 and pending_run <> $2', [sourceId, runId]);
  await db.query(
    `delete from lockgate.listing_chunk c using lockgate.document_failure f
      where c.source_id = $1 and f.source_id = $1 and c.from_key = (
        select max(o.from_key) from lockgate.listing_chunk o where o.source_id = $1 and o.from_key <= f.key)`,
    [sourceId],
  );
  await db.query('update lockgate.listing_chunk set pending_run = null where source_id = $1 and pending_run = $2', [
    sourceId,
    runId,
  ]);
}
