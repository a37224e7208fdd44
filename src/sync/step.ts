import type { Entry } from '../contract/connector.ts';
import type { FetchBatch, IndexChunk, ListingPart, RunFigures } from '../contract/run.ts';
import type { SyncLimits } from './limits.ts';
import type { Listing } from './listing.ts';
import type { Plan } from './plan.ts';

/** Keys seen, at which a listing without order is written down. */
const SEEN_KEPT = 10_000;

/** What has been listed of a part since it was last written down. */
export class Step {
  through: string | null;
  writtenAt: number;
  readonly #listing: Listing;
  readonly #part: number;
  /** Shared by the parts of a listing. */
  readonly #numbers: { batch: number };
  #position: string | null;
  #fetch: Entry[] = [];
  #missing: string[] = [];
  #moved: Entry[] = [];
  #seen: string[] = [];
  #unreadable: Entry[] = [];
  #putOff: Entry[] = [];
  #stale: string[] = [];
  #chunks: IndexChunk[] = [];
  #complete = false;
  #figures: Partial<RunFigures> = {};

  constructor(listing: Listing, part: ListingPart, numbers: { batch: number }) {
    this.#listing = listing;
    this.#part = part.number;
    this.#numbers = numbers;
    this.through = part.through;
    this.#position = part.position;
    this.writtenAt = listing.now();
  }

  /**
   * Whether it is time to write down what was found: enough for a batch, or something that has waited for a while, or nothing
   * for long. A page with one change does not cost a commit of its own.
   */
  get isDue(): boolean {
    const { limits, now } = this.#listing;
    const found = this.#fetch.length + this.#missing.length + this.#moved.length + this.#unreadable.length;
    if (found >= limits.batchEntries || this.#seen.length > SEEN_KEPT) return true;
    return now() - this.writtenAt >= (found > 0 ? limits.foundMs : limits.checkpointMs);
  }

  add(plan: Plan): void {
    for (const entry of plan.fetch) this.#fetch.push(entry);
    for (const key of plan.missing) this.#missing.push(key);
    for (const entry of plan.moved) this.#moved.push(entry);
    for (const key of plan.seen) this.#seen.push(key);
    for (const entry of plan.unreadable) this.#unreadable.push(entry);
    this.#count({ unchanged: plan.unchanged, moved: plan.moved.length, excluded: plan.excluded });
  }

  /** Entries that are dealt with. */
  listed(entries: number, lastKey: string | null): void {
    this.#count({ listed: entries });
    this.through = lastKey ?? this.through;
  }

  /** A stretch that is as it was. */
  same({ entries, excluded }: IndexChunk): void {
    this.#count({ unchanged: entries - excluded, excluded });
  }

  /** A stretch that was compared: what was known of it holds no more; null: nor does anything else. */
  compared(stale: readonly IndexChunk[], chunk: IndexChunk | null): void {
    for (const { from } of stale) this.#stale.push(from);
    if (chunk) this.#chunks.push(chunk);
  }

  pageDone(position: string | null, complete: boolean): void {
    this.#count({ pages: 1 });
    this.#position = position;
    this.#complete = complete;
  }

  async write(): Promise<void> {
    const { store, outlet, limits, signal, now } = this.#listing;
    await this.#leaveFailed();
    const batches = cutBatches(this.#fetch, this.#numbers, limits).map((batch) => ({
      ...batch,
      mine: outlet.reserve(batch.entries.length),
    }));
    this.#count({ planned: this.#fetch.length, plannedBytes: this.#fetch.reduce((sum, entry) => sum + entry.size, 0) });
    const written = {
      part: this.#part,
      position: this.#position,
      complete: this.#complete,
      through: this.through,
      batches,
      missing: this.#missing,
      moved: this.#moved,
      seen: this.#seen,
      unreadable: this.#unreadable,
      putOff: this.#putOff,
      stale: this.#stale,
      chunks: this.#chunks,
      figures: this.#figures,
    };
    this.#fetch = [];
    this.#missing = [];
    this.#moved = [];
    this.#seen = [];
    this.#unreadable = [];
    this.#putOff = [];
    this.#stale = [];
    this.#chunks = [];
    this.#figures = {};
    await store.checkpoint(written);
    this.writtenAt = now();
    for (const { mine, ...batch } of batches) if (mine) outlet.take(batch);
    const offered = batches.filter(({ mine }) => !mine).length;
    if (offered > 0) await outlet.offered(offered);
    signal.throwIfAborted();
  }

  /** What has failed before may have to wait before it is tried again. */
  async #leaveFailed(): Promise<void> {
    if (this.#fetch.length === 0) return;
    const putOff = await this.#listing.store.putOff(this.#fetch);
    if (putOff.size === 0) return;
    this.#putOff = [...putOff];
    this.#fetch = this.#fetch.filter((entry) => !putOff.has(entry));
    this.#count({ failed: putOff.size });
  }

  #count(more: Partial<RunFigures>): void {
    for (const [name, value] of Object.entries(more) as [keyof RunFigures, number][]) {
      this.#figures[name] = (this.#figures[name] ?? 0) + value;
    }
  }
}

function cutBatches(entries: readonly Entry[], numbers: { batch: number }, limits: SyncLimits): FetchBatch[] {
  const batches: FetchBatch[] = [];
  let open: Entry[] = [];
  let bytes = 0;
  const close = () => {
    if (open.length > 0) batches.push({ number: numbers.batch++, entries: open });
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
