import type { Page } from '../contract/connector.ts';
import { ConnectorError } from '../contract/errors.ts';
import type { ListingPart } from '../contract/run.ts';
import { isStorableKey } from '../contract/storable.ts';
import { Chunker, StoredChunks } from './chunks.ts';
import { Comparison } from './comparison.ts';
import { compareKeys } from './key-order.ts';
import type { Listing, Start } from './listing.ts';
import { boundariesBetween } from './partition.ts';
import { behind, entriesOf, isAscending, lastKeyOf, type Piece, pieceOf, placeBehind } from './piece.ts';
import { type Plan, planUnordered } from './plan.ts';
import { Step } from './step.ts';

/** A whole listing that has not begun. */
export const FROM_THE_BEGINNING: Start = {
  parts: [{ number: 0, after: null, upTo: null, followedBy: null, position: null, through: null }],
  nextPart: 1,
  nextBatch: 0,
  unordered: false,
};

/**
 * Pages through the listing from `start`, compares each page with the index, and writes each step down before its
 * fetches begin. A long listing is split into parts that are paged side by side. For each part, memory holds one page ahead, one
 * stretch of the index and what the outlet has taken. A listing that turns out to come in another order than the index begins
 * anew in one part, and each of its pages is looked up instead.
 */
export async function listAndPlan(listing: Listing, start: Start): Promise<void> {
  const numbers = { batch: start.nextBatch };
  if (!start.unordered) {
    if (await new Parts(listing, start, numbers).list()) return;
    // What is being fetched is known when its page comes again.
    await listing.outlet.settled();
    await listing.store.restartUnordered();
  }
  const whole = start.unordered ? start : { ...FROM_THE_BEGINNING, unordered: true };
  await new Parts(listing, whole, numbers).list();
}

/** The parts of one listing that are under way. */
class Parts {
  readonly #listing: Listing;
  readonly #start: Start;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #active = new Set<Promise<void>>();
  readonly #numbers: { batch: number };
  #nextPart: number;
  #ordered = true;
  #canSplit = true;
  #failure: { error: unknown } | null = null;

  constructor(listing: Listing, start: Start, numbers: { batch: number }) {
    this.#listing = listing;
    this.#start = start;
    this.#numbers = numbers;
    this.#nextPart = start.nextPart;
    this.#signal = AbortSignal.any([listing.signal, this.#stop.signal]);
  }

  /** False: the listing is out of order, and nothing was concluded from the page that shows it. */
  async list(): Promise<boolean> {
    for (const part of this.#start.parts) this.#begin(part);
    while (this.#active.size > 0) await Promise.all(this.#active);
    if (!this.#ordered) return false;
    if (this.#failure) throw this.#failure.error;
    return true;
  }

  #begin(part: ListingPart): void {
    const work = this.#list(part)
      .catch((error) => {
        this.#failure ??= { error };
        this.#stop.abort(error);
      })
      .finally(() => this.#active.delete(work));
    this.#active.add(work);
  }

  async #list(part: ListingPart): Promise<void> {
    const { source, limits, positionAfter } = this.#listing;
    const signal = this.#signal;
    const step = new Step(this.#listing, part, this.#numbers);
    const chunker = new Chunker(part, limits.chunkEntries);
    const stored = new StoredChunks(this.#listing.store, part.through ?? part.after ?? '');
    const comparison = new Comparison(this.#listing, step, stored);
    let { upTo, followedBy }: End = part;
    let last = part.after;
    let position = part.position ?? (part.after === null ? null : (positionAfter?.(part.after) ?? null));
    // The page on which begins what is not dealt with.
    let resume = position;
    let ahead: Promise<Page> = source.listPage(position, signal);
    let cuts: Promise<Cut[]> | null = null;
    for (let pages = 1; ; pages++) {
      ahead.catch(() => undefined);
      const page = within(await ahead, { upTo, followedBy });
      if (!page || (!this.#start.unordered && !isAscending(page.piece, last))) return this.#outOfOrder();
      last = lastKeyOf(page.piece) ?? last;
      const next = page.next.kind === 'more' ? page.next.pageToken : null;
      if (next !== null) {
        if (next === position) throw invalid('The source repeated a page token, so its listing would never end.');
        ahead = source.listPage(next, signal);
        ahead.catch(() => undefined);
      }
      if (this.#start.unordered) {
        await this.#planUnordered(step, page.piece);
        resume = next;
      } else {
        let closed = false;
        for (const stretch of chunker.take(behind(page.piece, part.through))) {
          closed = true;
          await comparison.take(stretch, upTo);
        }
        if (next === null) await comparison.take(chunker.end(), upTo);
        else if (chunker.isEmpty) resume = next;
        else if (closed || pages === 1) resume = position;
      }
      step.pageDone(next === null ? null : resume, next === null);
      if (next === null || step.isDue || comparison.isDue) {
        await comparison.flush();
        if (next === null || step.isDue) await step.write();
      }
      if (next === null) return;
      position = next;
      if (cuts && (await isSettled(cuts))) {
        ({ upTo, followedBy } = await this.#split(part.number, await cuts, last, { upTo, followedBy }));
        cuts = null;
      } else if (pages % limits.splitPages === 0 && !cuts) cuts = this.#cutsAfter(last, upTo);
    }
  }

  #outOfOrder(): void {
    this.#ordered = false;
    this.#stop.abort(new Error('the listing is out of order'));
  }

  async #planUnordered(step: Step, piece: Piece): Promise<void> {
    const entries = entriesOf(piece);
    const { store, select, restrict = async (plan: Plan) => plan } = this.#listing;
    const rows = await store.indexRows(entries.map(({ key }) => key));
    step.add(await restrict({ ...planUnordered(entries, rows, select), missing: [] }));
    step.listed(entries.length, lastKeyOf(piece));
  }

  /** Where what is left of a part could be cut, while there is room for more parts; null: there is not. */
  #cutsAfter(through: string | null, upTo: string | null): Promise<Cut[]> | null {
    const { source, limits, positionAfter } = this.#listing;
    const room = limits.listingParts - this.#active.size;
    if (!positionAfter || !this.#canSplit || this.#start.unordered || through === null || room <= 0) return null;
    const firstAfter = async (key: string) => {
      const [first] = (await source.listPage(positionAfter(key), this.#signal)).entries;
      // A source that begins elsewhere than it was asked to cannot be cut.
      if (first && compareKeys(first.key, key) <= 0) throw invalid('The listing begins before where it was asked to.');
      return first?.key ?? null;
    };
    const find = async () => {
      const found: Cut[] = [];
      for (const after of await boundariesBetween(firstAfter, through, upTo, room + 1)) {
        const first = await firstAfter(after);
        if (first !== null && isStorableKey(after) && isStorableKey(first)) found.push({ after, first });
      }
      return found;
    };
    return find().catch(() => {
      // Asked for in vain once, it is not asked for again.
      this.#canSplit = false;
      return [];
    });
  }

  /** Splits a part, and returns its new end. */
  async #split(of: number, cuts: readonly Cut[], through: string | null, end: End): Promise<End> {
    const room = Math.max(0, this.#listing.limits.listingParts - this.#active.size);
    const good = cuts.filter(({ after }) => through === null || compareKeys(after, through) > 0).slice(0, room);
    const [first] = good;
    if (!first) return end;
    const parts = good.map(({ after }, i) => ({
      number: this.#nextPart++,
      after,
      ...(endAt(good[i + 1]) ?? end),
      position: null,
      through: after,
    }));
    const own = { upTo: first.after, followedBy: first.first };
    await this.#listing.store.splitPart({ number: of, ...own }, parts);
    for (const part of parts) this.#begin(part);
    return own;
  }
}

/** Where a listing is cut, and the first key behind. */
interface Cut {
  readonly after: string;
  readonly first: string;
}

type End = Pick<ListingPart, 'upTo' | 'followedBy'>;

function endAt(cut: Cut | undefined): End | null {
  return cut ? { upTo: cut.after, followedBy: cut.first } : null;
}

/**
 * A page of a part: without what lies behind the part's end. Null: what comes there is not what the part behind begins with, so
 * that between the two something may be missing; the source lists in an order of its own, or has just changed there.
 */
function within(page: Page, { upTo, followedBy }: End): { readonly piece: Piece; readonly next: Page['next'] } | null {
  const piece = pieceOf(page);
  if (upTo === null) return { piece, next: page.next };
  const at = placeBehind(piece, upTo);
  if (at < 0) return page.next.kind === 'end' ? null : { piece, next: page.next };
  if (piece.outline.keys[at] !== followedBy) return null;
  return { piece: { ...piece, to: at }, next: { kind: 'end' } };
}

const PENDING = Symbol('pending');

async function isSettled(work: Promise<unknown>): Promise<boolean> {
  return (await Promise.race([work, Promise.resolve(PENDING)])) !== PENDING;
}

function invalid(message: string): ConnectorError {
  return new ConnectorError('invalid_listing', message, { operation: 'list', retryable: false });
}
