import type { Entry } from '../contract/connector.ts';
import type { IndexChunk, IndexRow } from '../contract/run.ts';
import { isStorableKey } from '../contract/storable.ts';
import type { StoredChunks, Stretch } from './chunks.ts';
import { compareKeys } from './key-order.ts';
import type { Listing } from './listing.ts';
import { type Plan, planStretch } from './plan.ts';
import type { Step } from './step.ts';

/** Stretches and entries that wait at the most to be compared together, and for how many milliseconds. */
const STRETCHES = 16;
const ENTRIES = 1000;
const WAIT_MS = 20;

/** A stretch that is not as the chunk that is stored of it says. */
interface Differing {
  readonly from: string | null;
  readonly before: string | null;
  readonly entries: readonly Entry[];
  /** Every key up to this one is dealt with by what came before. */
  readonly after: string | null;
  /** Its last key; or of the one behind it, the first. Null: there is no end. */
  readonly last: string | null;
  readonly stale: readonly IndexChunk[];
  /** Null: no chunk can be stored of it. */
  readonly hash: string | null;
}

/**
 * Compares the stretches of a part with the chunks that are stored of them, and where those say otherwise, or nothing, with the documents:
 * of several stretches at once, for each question to the database costs as much as a hundred rows.
 */
export class Comparison {
  readonly #listing: Listing;
  readonly #step: Step;
  readonly #stored: StoredChunks;
  #waiting: Differing[] = [];
  #entries = 0;
  #since = 0;
  /** Of the documents are being asked for; one question follows the other. */
  #asking: Promise<void> = Promise.resolve();

  constructor(listing: Listing, step: Step, stored: StoredChunks) {
    this.#listing = listing;
    this.#step = step;
    this.#stored = stored;
  }

  /** Takes the stretch that follows; `upTo` is the last key of the part. */
  async take(stretch: Stretch, upTo: string | null): Promise<void> {
    const { restrict, now } = this.#listing;
    const { from, before } = stretch;
    // Up to a boundary, or to where the part ends, its last key with it.
    const known = await this.#stored.before(before ?? (upTo === null ? null : `${upTo}\u0001`));
    const isWhole = from !== null && (before !== null || upTo === null) && !restrict;
    const hash = isWhole ? stretch.hash() : null;
    const [only] = known;
    if (hash !== null && known.length === 1 && only?.from === from && only.hash === hash) {
      this.#step.same(only);
    } else {
      if (this.#waiting.length === 0) this.#since = now();
      // Its entries are made now: a few, in place of the pages that it is from.
      const entries = stretch.entries();
      this.#waiting.push({
        from,
        before,
        entries,
        after: this.#step.through,
        last: before ?? upTo,
        stale: known,
        hash,
      });
      this.#entries += stretch.length;
    }
    this.#step.listed(stretch.length, stretch.lastKey);
    if (this.#waiting.length >= STRETCHES || this.#entries >= ENTRIES) await this.#ask();
  }

  /** Whether what waits has waited long enough. */
  get isDue(): boolean {
    return this.#waiting.length > 0 && this.#listing.now() - this.#since >= WAIT_MS;
  }

  /** Tells the step of everything that was taken. */
  async flush(): Promise<void> {
    await this.#ask();
    await this.#asking;
  }

  /** Has what waits compared while the listing goes on, once what waited before is. */
  async #ask(): Promise<void> {
    await this.#asking;
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    this.#entries = 0;
    const answered = this.#rowsOf(waiting);
    this.#asking = answered.then(async (rows) => {
      for (const differing of waiting) await this.#compare(differing, rows.get(differing));
    });
    // Whoever asks next hears of it.
    this.#asking.catch(() => undefined);
  }

  /** What the collection has of those that have an end. */
  async #rowsOf(waiting: readonly Differing[]): Promise<Map<Differing, readonly IndexRow[]>> {
    const { store, limits } = this.#listing;
    const bounded = waiting.flatMap((differing) => {
      const { after, last } = differing;
      return last === null || last === after ? [] : [{ differing, range: { after, upTo: last } }];
    });
    if (bounded.length < 2) return new Map();
    const found = await store.indexRanges(
      bounded.map(({ range }) => range),
      limits.indexRows,
    );
    return new Map(bounded.map(({ differing }, i) => [differing, found[i] ?? []]));
  }

  async #compare(differing: Differing, rows: readonly IndexRow[] | undefined): Promise<void> {
    const { restrict } = this.#listing;
    const { from, entries, stale, hash } = differing;
    const figures = { excluded: 0, unreadable: 0 };
    for await (const plan of plansOf(this.#listing, differing, rows)) {
      figures.excluded += plan.excluded;
      figures.unreadable += plan.unreadable.length;
      this.#step.add({ ...(restrict ? await restrict(plan) : plan), seen: [] });
    }
    const isChunk = from !== null && hash !== null && figures.unreadable === 0 && isStorableKey(from);
    this.#step.compared(stale, isChunk ? { from, entries: entries.length, excluded: figures.excluded, hash } : null);
  }
}

/** Compares a stretch with the documents, in pieces of bounded length also where there are far more of those. `rows`: the first of them. */
async function* plansOf(
  { store, limits, select }: Listing,
  { before, entries, after, last }: Differing,
  rows: readonly IndexRow[] | undefined,
): AsyncIterable<Plan> {
  if (last !== null && last === after) return;
  let from = after;
  let at = 0;
  for (let first = rows; ; first = undefined) {
    const found = first ?? (await store.indexRange(from, last, limits.indexRows));
    const full = found.length === limits.indexRows;
    // The boundary itself belongs to what follows.
    const own = found.at(-1)?.key === before ? found.slice(0, -1) : found;
    const end = full ? (own.at(-1)?.key ?? null) : last;
    let stop = at;
    while (stop < entries.length && (!full || compareKeys(entries[stop]?.key ?? '', end ?? '') <= 0)) stop++;
    yield planStretch(entries.slice(at, stop), own, select);
    if (!full) return;
    at = stop;
    from = end;
  }
}
