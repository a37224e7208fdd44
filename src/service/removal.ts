import { listRuns } from '../collections/runs.ts';
import { detachDocuments, removeSource, removeSourceDocuments, type SourceRecord } from '../collections/sources.ts';
import type { Database } from '../contract/database.ts';
import { LockgateError } from '../contract/errors.ts';
import { runLock } from '../jobs/crawl.ts';

const REMOVALS_AT_ONCE = 1000;

/** Removes the documents of a source, each in the change feed. Throws `source_busy` while a run is at work. */
export async function removeAllDocuments(db: Database, source: SourceRecord): Promise<number> {
  await using _idle = await whileIdle(db, source);
  let removed = 0;
  for (let some = 1; some > 0; removed += some) some = await removeSourceDocuments(db, source, REMOVALS_AT_ONCE);
  return removed;
}

/** Removes a source; its documents with it, or they stay as they are and nothing looks after them any more. */
export async function removeSourceSafely(
  db: Database,
  source: SourceRecord,
  documents: 'keep' | 'remove',
): Promise<number> {
  if (documents === 'keep') {
    await using _idle = await whileIdle(db, source);
    await detachDocuments(db, source.id);
    return 0;
  }
  const removed = await removeAllDocuments(db, source);
  await removeSource(db, source.id);
  return removed;
}

async function whileIdle(db: Database, source: SourceRecord): Promise<AsyncDisposable> {
  const active = (await listRuns(db, source.workspace, { sourceId: source.id }, 1)).find(
    ({ state }) => state === 'queued' || state === 'running',
  );
  if (!active) return { [Symbol.asyncDispose]: async () => undefined };
  const lock = await db.tryLock(runLock(active.id));
  if (lock) return lock;
  throw new LockgateError(
    'source_busy',
    'The source is being synced.',
    `Cancel the run first: lockgate runs cancel ${active.id}`,
  );
}
