import type { Entry, Source } from '../contract/connector.ts';
import type { ContentStore } from '../contract/content-store.ts';
import { ConnectorError, describeError } from '../contract/errors.ts';
import type { FetchBatch, Outcome } from '../contract/run.ts';
import type { Committer } from './committer.ts';
import type { SyncLimits } from './limits.ts';

/** Codes that say that no other entry would fare better. */
const FATAL: readonly string[] = ['credential_rejected', 'endpoint_refused', 'ambient_refused', 'aborted'];
const AWAY: readonly string[] = ['unavailable', 'timeout', 'throttled'];

/** Of larger bodies only a part is in memory. */
const WHOLE_BYTES = 1024 * 1024;

function readBytesOf({ size }: Entry): number {
  return Math.min(size, WHOLE_BYTES);
}

/** Reads the entries of batches side by side and hands each outcome to the committer. */
export class Fetcher {
  readonly #source: Source;
  readonly #content: ContentStore;
  readonly #committer: Committer;
  readonly #limits: SyncLimits;
  readonly #signal: AbortSignal;
  readonly #onFatal: (error: unknown) => void;
  readonly #onSettled: () => void;
  #running = 0;
  /** Those before `#next` are under way or settled; they go with the next batch that comes. */
  #waiting: { entry: Entry; batch: number }[] = [];
  #next = 0;
  #wake: (() => void)[] = [];
  #reserved = 0;
  #readingBytes = 0;
  #awayInARow = 0;

  constructor(parts: {
    source: Source;
    content: ContentStore;
    committer: Committer;
    limits: SyncLimits;
    signal: AbortSignal;
    onFatal: (error: unknown) => void;
    /** Hears that an entry is settled. */
    onSettled: () => void;
  }) {
    this.#source = parts.source;
    this.#content = parts.content;
    this.#committer = parts.committer;
    this.#limits = parts.limits;
    this.#signal = parts.signal;
    this.#onFatal = parts.onFatal;
    this.#onSettled = parts.onSettled;
    parts.signal.addEventListener('abort', () => this.#wakeAll());
  }

  /** Keeps room for so many entries until `release`. An idle one has room for any batch. */
  reserve(entries: number): boolean {
    if (!this.hasRoom(entries)) return false;
    this.#reserved += entries;
    return true;
  }

  release(entries: number): void {
    this.#reserved -= entries;
  }

  hasRoom(entries: number): boolean {
    const held = this.#left + this.#running + this.#reserved;
    return held === 0 || held + entries <= this.#limits.unsettledEntries;
  }

  /** Whether everything that was taken in is settled. */
  get isIdle(): boolean {
    return this.#left + this.#running === 0;
  }

  /** Entries whose reads have not begun. */
  get #left(): number {
    return this.#waiting.length - this.#next;
  }

  /** Takes a batch in. `entries` may be fewer than the batch has. */
  submit(batch: FetchBatch, entries: readonly Entry[] = batch.entries): void {
    this.#committer.open(batch.number, entries.length);
    this.#waiting = this.#waiting.slice(this.#next);
    this.#next = 0;
    for (const entry of entries) this.#waiting.push({ entry, batch: batch.number });
    this.#fill();
  }

  /** Has reads begin that were held back while too much waited to be committed. */
  resume(): void {
    this.#fill();
  }

  /** Resolves when every entry taken in is settled, or when the run is aborted and every read has ended. */
  async drain(): Promise<void> {
    while (this.#running > 0 || (this.#left > 0 && !this.#signal.aborted)) {
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  #wakeAll(): void {
    if (this.#wake.length === 0) return;
    const wake = this.#wake;
    this.#wake = [];
    for (const resolve of wake) resolve();
  }

  get #mayRead(): boolean {
    const { concurrentReads, readBytes } = this.#limits;
    const room = this.#running < concurrentReads && this.#readingBytes < readBytes;
    return room && !this.#committer.isFull && !this.#signal.aborted;
  }

  #fill(): void {
    while (this.#mayRead) {
      const next = this.#waiting[this.#next];
      if (!next) break;
      this.#next++;
      this.#running++;
      this.#readingBytes += readBytesOf(next.entry);
      void this.#settle(next.entry, next.batch);
    }
  }

  /** Never rejects. */
  async #settle(entry: Entry, batch: number): Promise<void> {
    try {
      const outcome = await this.#store(entry);
      this.#awayInARow = 0;
      this.#committer.add(batch, outcome);
    } catch (error) {
      try {
        this.#committer.add(batch, this.#failed(entry, error));
      } catch (fatal) {
        this.#onFatal(fatal);
      }
    }
    this.#running--;
    this.#readingBytes -= readBytesOf(entry);
    this.#fill();
    this.#wakeAll();
    this.#onSettled();
  }

  /** The outcome of an entry that could not be fetched; throws what concerns the whole run. */
  #failed(entry: Entry, error: unknown): Outcome {
    this.#signal.throwIfAborted();
    if (!(error instanceof ConnectorError) || FATAL.includes(error.code)) throw error;
    this.#awayInARow = AWAY.includes(error.code) ? this.#awayInARow + 1 : 0;
    if (this.#awayInARow >= this.#limits.unavailableInARow) throw error;
    const { code, message } = describeError(error);
    return { kind: 'failed', entry, code, message };
  }

  /** Content that is not what was listed is fetched once more; then it is kept, with a warning. */
  async #store(entry: Entry): Promise<Outcome> {
    for (let attempt = 1; ; attempt++) {
      const read = await this.#source.read(entry, undefined, this.#signal);
      const { body, whole, contentType, warning, grants } = read;
      const content = await this.#content.stage(whole ?? body, this.#signal);
      const said = warning?.() ?? null;
      if (said === null || attempt === 2) {
        return {
          kind: 'stored',
          entry,
          content,
          contentType: contentType ?? null,
          warning: said,
          grants: grants ?? null,
        };
      }
      await this.#content.discard([content]);
    }
  }
}
