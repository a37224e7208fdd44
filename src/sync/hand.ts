import type { Clock, Source } from '../contract/connector.ts';
import type { ContentStore } from '../contract/content-store.ts';
import { LockgateError } from '../contract/errors.ts';
import type { FetchBatch, HandStore } from '../contract/run.ts';
import { Committer } from './committer.ts';
import { Fetcher } from './fetcher.ts';
import { DEFAULT_LIMITS, type SyncLimits } from './limits.ts';
import type { Outlet } from './listing.ts';
import { sameVersion } from './plan.ts';

export interface HandParts {
  readonly source: Source;
  readonly store: HandStore;
  readonly content: ContentStore;
  readonly clock: Clock;
  readonly limits?: SyncLimits;
  /** Hears, again and again, that the listing waits because there is so much to fetch. */
  readonly onPlenty?: () => void;
}

/** Somebody asked for the run to stop. */
export class RunCancelled extends LockgateError {
  constructor() {
    super('run_cancelled', 'The run was cancelled.');
  }
}

/** Batches that one process takes at once, as soon as there is room for all of them: not more than a quarter of what it may hold. */
const BATCHES_AT_ONCE = 4;

/** One process's part in the fetches of a run: takes batches, reads their entries side by side, commits. */
export class Hand implements Outlet {
  readonly #store: HandStore;
  readonly #fetcher: Fetcher;
  readonly #committer: Committer;
  readonly #limits: SyncLimits;
  readonly #atOnce: number;
  readonly #clock: Clock;
  readonly #onPlenty: () => void;
  readonly #stop = new AbortController();
  readonly #ended = new AbortController();
  readonly #beats: Promise<void>;
  #offered = 0;
  #isFull = false;
  #wake: () => void = () => undefined;
  readonly signal: AbortSignal;

  constructor(parts: HandParts, outer: AbortSignal) {
    const { source, store, content, clock, limits = DEFAULT_LIMITS, onPlenty = () => undefined } = parts;
    this.#store = store;
    this.#onPlenty = onPlenty;
    this.#limits = limits;
    const batchesHeld = Math.floor(limits.unsettledEntries / limits.batchEntries);
    this.#atOnce = Math.min(BATCHES_AT_ONCE, Math.max(1, Math.floor(batchesHeld / 4)));
    this.#clock = clock;
    this.signal = AbortSignal.any([outer, this.#stop.signal]);
    const onFatal = (error: unknown) => this.stop(error);
    this.#committer = new Committer(store, content, limits, onFatal, () => this.#fetcher.resume());
    const { signal } = this;
    const onSettled = () => {
      if (this.#fetcher.isIdle || (this.#isFull && this.#hasRoom)) this.wake();
    };
    this.#fetcher = new Fetcher({ source, content, committer: this.#committer, limits, signal, onFatal, onSettled });
    this.#beats = this.#beat();
  }

  stop(why: unknown): void {
    this.#stop.abort(why);
    this.wake();
  }

  reserve(entries: number): boolean {
    return this.#fetcher.reserve(entries);
  }

  take(batch: FetchBatch): void {
    this.#fetcher.release(batch.entries.length);
    this.#fetcher.submit(batch);
  }

  async offered(batches: number): Promise<void> {
    this.#offered += batches;
    while (this.#offered >= this.#limits.offeredBatches && !this.signal.aborted) {
      this.#offered = (await this.#store.leftBatches()).free;
      if (this.#offered < this.#limits.offeredBatches) return;
      this.#onPlenty();
      await this.#clock.sleep(this.#limits.pollMs, this.signal).catch(() => undefined);
    }
  }

  async settled(): Promise<void> {
    while (!this.signal.aborted) {
      if (this.#fetcher.isIdle) await this.#committer.flush();
      if ((await this.#store.leftBatches()).left === 0) return;
      await this.#clock.sleep(this.#limits.pollMs, this.signal).catch(() => undefined);
    }
  }

  /**
   * Takes batches that nobody has, as there is room, until `isEnough`, or until `isDone` says that there is nothing to wait for:
   * it is asked when there was nothing to take, and told for how many milliseconds that has been so.
   */
  async work(isDone: (idleMs: number) => Promise<boolean>, isEnough: () => boolean = () => false): Promise<void> {
    let idleSince: number | null = null;
    while (!this.signal.aborted && !isEnough()) {
      this.#isFull = !this.#hasRoom;
      if (!this.#isFull) {
        const batches = await this.#store.takeBatches(this.#atOnce);
        await this.#takeUp(batches);
        if (batches.length > 0) {
          idleSince = null;
          continue;
        }
        if (this.#fetcher.isIdle) await this.#committer.flush();
        idleSince ??= this.#clock.now();
        if (await isDone(this.#clock.now() - idleSince)) return;
      }
      await this.#pause();
    }
  }

  /** Has `work` look again at once. */
  wake(): void {
    this.#wake();
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wake(), this.#limits.pollMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  get #hasRoom(): boolean {
    return this.#fetcher.hasRoom(this.#atOnce * this.#limits.batchEntries);
  }

  /** Entries of a batch that an earlier hand committed are not fetched again. */
  async #takeUp(batches: readonly FetchBatch[]): Promise<void> {
    if (batches.length === 0) return;
    const rows = await this.#store.indexRows(batches.flatMap(({ entries }) => entries.map(({ key }) => key)));
    const known = new Map(rows.map((row) => [row.key, row]));
    for (const batch of batches) {
      const entries = batch.entries.filter((entry) => {
        const row = known.get(entry.key);
        return !row || !sameVersion(entry, row);
      });
      this.#fetcher.submit(batch, entries);
    }
  }

  /** Settles what was taken. Also when the run ends early: what is finished is not fetched again. */
  async settle(): Promise<void> {
    await this.#fetcher.drain();
    await this.#committer.flush();
  }

  /** Settles what was taken, and says no more that it lives. */
  async end(): Promise<void> {
    await this.settle();
    this.#ended.abort();
    await this.#beats;
  }

  /** Keeps telling the database that this hand lives, and stops it when somebody cancels the run or its store is lost. */
  async #beat(): Promise<void> {
    try {
      for (;;) {
        await this.#clock.sleep(this.#limits.heartbeatMs, this.#ended.signal);
        if ((await this.#store.heartbeat()).cancelRequested) this.stop(new RunCancelled());
      }
    } catch (error) {
      if (!this.#ended.signal.aborted) this.stop(error);
    }
  }
}

/** How long somebody helps. */
export interface HelpTerms {
  /** Whether others need the hand more; absent: nobody does. */
  readonly isEnough?: () => boolean;
  /** How long it waits for more when nothing is left to take, in milliseconds: for who does not come back for nothing. */
  readonly lingerMs?: number;
}

/** Helps a run that another hand leads, as the terms say, or until `signal` aborts; then what was taken is finished. */
export async function helpRun(
  parts: HandParts,
  { isEnough, lingerMs = 0 }: HelpTerms,
  signal: AbortSignal,
): Promise<void> {
  const hand = new Hand(parts, signal);
  const isDone = async (idleMs: number) => idleMs >= lingerMs && (await parts.store.leftBatches()).free === 0;
  try {
    await hand.work(isDone, isEnough);
  } catch (error) {
    hand.stop(error);
  } finally {
    await hand.end();
  }
  hand.signal.throwIfAborted();
}
