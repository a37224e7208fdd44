import { markGarbage, oldGarbage, takeGarbage } from '../collections/garbage.ts';
import type { ContentStore } from '../contract/content-store.ts';
import type { Database } from '../contract/database.ts';

const LISTED_AT_ONCE = 5000;
/** Each time all documents are looked at. */
const OLD_AT_ONCE = 100_000;

export interface Collected {
  readonly looked: number;
  readonly bytes: number;
  /** Nothing refers to these; they are removed when they have been marked for the time of grace. */
  readonly marked: number;
  readonly removed: number;
  /** Bytes that came free, beside those of contents with files of their own. */
  readonly freed: number;
}

/**
 * Removes content that no document refers to. It is marked first, and removed by a later collection when the mark is as old as
 * the grace, which must be longer than a worker takes between storing bytes and committing their rows. Null: another process is
 * at it.
 */
export async function collectGarbage(
  { db, content, now }: { readonly db: Database; readonly content: ContentStore; readonly now: () => number },
  graceSeconds: number,
  signal: AbortSignal,
): Promise<Collected | null> {
  await using lock = await db.tryLock('garbage');
  if (!lock) return null;
  let removed = 0;
  for (let isOver = false; !isOver; ) {
    signal.throwIfAborted();
    const { looked: old, garbage } = await oldGarbage(db, graceSeconds, OLD_AT_ONCE);
    for (const sha256 of garbage) {
      signal.throwIfAborted();
      if (await takeGarbage(db, sha256, graceSeconds, () => content.remove(sha256))) removed++;
    }
    isOver = old < OLD_AT_ONCE;
  }
  const youngest = now() - graceSeconds * 1000;
  let looked = 0;
  let bytes = 0;
  const listed = async function* () {
    let some: string[] = [];
    for await (const { sha256, size, storedAt } of content.list()) {
      signal.throwIfAborted();
      looked++;
      bytes += size;
      // What was just stored may be about to be referred to.
      if (storedAt.getTime() <= youngest) some.push(sha256);
      if (some.length < LISTED_AT_ONCE) continue;
      yield some;
      some = [];
    }
    yield some;
  };
  const marked = await markGarbage(db, listed());
  const freed = (await content.compact?.(signal)) ?? 0;
  return { looked, bytes, marked, removed, freed };
}
