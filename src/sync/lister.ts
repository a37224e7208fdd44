import type { Entry, Page, Source } from '../contract/connector.ts';
import { ConnectorError } from '../contract/errors.ts';
import type { Checkpoint, FetchBatch, RunFigures, RunStore } from '../contract/run.ts';
import { compareKeys } from './key-order.ts';
import type { SyncLimits } from './limits.ts';
import { type Plan, planStretch, planUnordered } from './plan.ts';
import type { Selection } from './selection.ts';

/** Keys seen, at which a listing without order is written down. */
const SEEN_KEPT = 10_000;

export interface Listing {
  readonly source: Source;
  readonly store: RunStore;
  readonly select: Selection;
  readonly limits: SyncLimits;
  readonly signal: AbortSignal;
  readonly now: () => number;
  /** Leaves of a stretch's plan what may be done; absent: all of it. */
  readonly restrict?: (plan: Plan) => Promise<Plan>;
  /** Takes batches that are written down; resolves when there is room for more. */
  readonly submit: (batch: FetchBatch) => Promise<void>;
}

interface Start {
  readonly position: string | null;
  readonly through: string | null;
  readonly nextBatch: number;
  readonly unordered: boolean;
}

/**
 * Pages through the listing from `start`, compares each page with the index, and writes each step down before its
 * fetches begin. Memory holds one page ahead, one stretch of the index and the batches that `submit` has taken. A listing
 * that turns out to come in another order than the index begins anew, and each of its pages is looked up instead.
 */
export async function listAndPlan(listing: Listing, start: Start): Promise<void> {
  const step = new Step(listing, start);
  if (start.unordered || !(await listFrom(listing, start, step))) return listUnordered(listing, start, step);
}

async function listUnordered(listing: Listing, start: Start, step: Step): Promise<void> {
  if (!start.unordered) {
    await step.writeWhatIsDone();
    await listing.store.restartUnordered();
  }
  const position = start.unordered ? start.position : null;
  await listFrom(listing, { ...start, position, unordered: true }, step);
}

/** False: the listing is out of order, and nothing was concluded from the page that shows it. */
async function listFrom(listing: Listing, start: Start, step: Step): Promise<boolean> {
  const { source, limits, signal, store, select, restrict = async (plan: Plan) => plan } = listing;
  let position = start.position;
  let ahead: Promise<Page> = source.listPage(position, signal);
  for (;;) {
    ahead.catch(() => undefined);
    const page = await ahead;
    if (!start.unordered && !isAscending(page.entries, step.through)) return false;
    const next = page.next.kind === 'more' ? page.next.pageToken : null;
    if (next !== null) {
      if (next === position) throw invalid('The source repeated a page token, so its listing would never end.');
      ahead = source.listPage(next, signal);
      ahead.catch(() => undefined);
    }
    if (start.unordered) {
      const rows = await store.indexRows(page.entries.map(({ key }) => key));
      step.add(await restrict({ ...planUnordered(page.entries, rows, select), missing: [] }));
    } else {
      for await (const plan of stretches(listing, page, step.through)) step.add(await restrict({ ...plan, seen: [] }));
    }
    step.pageDone(page.entries, next);
    if (next === null || step.eventful || listing.now() - step.writtenAt >= limits.checkpointMs) await step.write();
    if (next === null) return true;
    position = next;
  }
}

/** Compares a page with the index in stretches of bounded length, also where the index has far more than the page. */
async function* stretches(listing: Listing, page: Page, after: string | null): AsyncIterable<Plan> {
  const { store, limits, select } = listing;
  const pageEnd = page.next.kind === 'end' ? null : (page.entries.at(-1)?.key ?? after);
  if (pageEnd !== null && pageEnd === after) return;
  let from = after;
  let at = 0;
  for (;;) {
    const rows = await store.indexRange(from, pageEnd, limits.indexRows);
    const full = rows.length === limits.indexRows;
    const end = full ? (rows.at(-1)?.key ?? null) : pageEnd;
    let stop = at;
    while (stop < page.entries.length && (!full || compareKeys((page.entries[stop] as Entry).key, end ?? '') <= 0))
      stop++;
    yield planStretch(page.entries.slice(at, stop), rows, select);
    if (!full) return;
    at = stop;
    from = end;
  }
}

/** What has been listed since the last checkpoint. */
class Step {
  through: string | null;
  writtenAt: number;
  readonly #listing: Listing;
  #position: string | null;
  #nextBatch: number;
  #fetch: Entry[] = [];
  #missing: string[] = [];
  #moved: Entry[] = [];
  #seen: string[] = [];
  #unreadable: Entry[] = [];
  #figures: Partial<RunFigures> = {};

  constructor(listing: Listing, start: Start) {
    this.#listing = listing;
    this.through = start.through;
    this.#position = start.position;
    this.#nextBatch = start.nextBatch;
    this.writtenAt = listing.now();
  }

  get eventful(): boolean {
    return (
      this.#fetch.length + this.#missing.length + this.#moved.length + this.#unreadable.length > 0 ||
      this.#seen.length > SEEN_KEPT
    );
  }

  add(plan: Plan): void {
    for (const entry of plan.fetch) this.#fetch.push(entry);
    for (const key of plan.missing) this.#missing.push(key);
    for (const entry of plan.moved) this.#moved.push(entry);
    for (const key of plan.seen) this.#seen.push(key);
    for (const entry of plan.unreadable) this.#unreadable.push(entry);
    this.#count({ unchanged: plan.unchanged, moved: plan.moved.length, excluded: plan.excluded });
  }

  pageDone(entries: readonly Entry[], next: string | null): void {
    this.#count({ pages: 1, listed: entries.length });
    this.through = entries.at(-1)?.key ?? this.through;
    this.#position = next;
  }

  /** Before the listing begins anew: batches that were planned stay. */
  async writeWhatIsDone(): Promise<void> {
    if (this.#position !== null) await this.write();
    this.through = null;
    this.#position = null;
  }

  async write(): Promise<void> {
    const batches = cutBatches(this.#fetch, this.#nextBatch, this.#listing.limits);
    this.#nextBatch += batches.length;
    this.#count({ planned: this.#fetch.length, plannedBytes: this.#fetch.reduce((sum, entry) => sum + entry.size, 0) });
    const step: Checkpoint = {
      position: this.#position,
      listingComplete: this.#position === null,
      through: this.through,
      batches,
      missing: this.#missing,
      moved: this.#moved,
      seen: this.#seen,
      unreadable: this.#unreadable,
      figures: this.#figures,
    };
    this.#fetch = [];
    this.#missing = [];
    this.#moved = [];
    this.#seen = [];
    this.#unreadable = [];
    this.#figures = {};
    await this.#listing.store.checkpoint(step);
    this.writtenAt = this.#listing.now();
    for (const batch of batches) await this.#listing.submit(batch);
    this.#listing.signal.throwIfAborted();
  }

  #count(more: Partial<RunFigures>): void {
    for (const [name, value] of Object.entries(more) as [keyof RunFigures, number][]) {
      this.#figures[name] = (this.#figures[name] ?? 0) + value;
    }
  }
}

function cutBatches(entries: readonly Entry[], first: number, limits: SyncLimits): FetchBatch[] {
  const batches: FetchBatch[] = [];
  let open: Entry[] = [];
  let bytes = 0;
  const close = () => {
    if (open.length > 0) batches.push({ number: first + batches.length, entries: open });
    open = [];
    bytes = 0;
  };
  for (const entry of entries) {
    open.push(entry);
    bytes += entry.size;
    if (open.length >= limits.batchEntries || bytes >= limits.batchBytes) close();
  }
  close();
  return batches;
}

/** Whether keys ascend; of a listing where they do not, gaps do not tell what is gone. */
function isAscending(entries: readonly Entry[], through: string | null): boolean {
  let last = through;
  for (const { key } of entries) {
    if (last !== null && compareKeys(last, key) >= 0) return false;
    last = key;
  }
  return true;
}

function invalid(message: string): ConnectorError {
  return new ConnectorError('invalid_listing', message, { operation: 'list', retryable: false });
}
