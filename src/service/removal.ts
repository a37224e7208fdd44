import { systemClock } from '../clock.ts';
import { dismissHelpers, NO_CAPS } from '../collections/hands.ts';
import { openRunStore } from '../collections/run-store.ts';
import { finishRun, requestRun } from '../collections/runs.ts';
import { detachDocuments, removeSource, removeSourceDocuments, type SourceRecord } from '../collections/sources.ts';
import type { Database } from '../contract/database.ts';
import { LockgateError } from '../contract/errors.ts';
import { leadRun } from '../jobs/lead-run.ts';

const REMOVALS_AT_ONCE = 1000;

/** Removes the documents of a source, each in the change feed. Throws `source_busy` while a run is at work. */
export async function removeAllDocuments(db: Database, source: SourceRecord): Promise<number> {
  await using held = await holdSource(db, source);
  let removed = 0;
  for (let some = 1; some > 0; removed += some) {
    await held.beat();
    some = await removeSourceDocuments(db, source, REMOVALS_AT_ONCE);
  }
  return removed;
}

/** Removes a source; its documents with it, or they stay as they are and nothing looks after them any more. */
export async function removeSourceSafely(
  db: Database,
  source: SourceRecord,
  documents: 'keep' | 'remove',
): Promise<number> {
  if (documents === 'keep') {
    await using _held = await holdSource(db, source);
    await detachDocuments(db, source.id);
    return 0;
  }
  const removed = await removeAllDocuments(db, source);
  await removeSource(db, source.id);
  return removed;
}

/** Leads a run of the source that does nothing, so that no other can begin; nobody commits to an earlier one any more. */
async function holdSource(db: Database, source: SourceRecord): Promise<AsyncDisposable & { beat(): Promise<void> }> {
  const id = await requestRun(db, source.id, 'manual');
  const never = new AbortController().signal;
  const lead = await leadRun({ db, clock: systemClock }, id, 'removal', NO_CAPS, never);
  if (lead === 'waits' || lead === null) {
    throw new LockgateError(
      'source_busy',
      'The source is being synced.',
      `Cancel the run first: lockgate runs cancel ${id}`,
    );
  }
  await dismissHelpers(db, id);
  const { attempt, hand } = lead;
  const run = { id, attempt, hand, sourceId: source.id, collectionId: source.collectionId, rules: '' };
  return {
    beat: async () => void (await openRunStore(db, run).heartbeat()),
    [Symbol.asyncDispose]: async () => {
      await finishRun(db, id, lead.attempt, 'cancelled', null, 0);
      await lead[Symbol.asyncDispose]();
    },
  };
}
