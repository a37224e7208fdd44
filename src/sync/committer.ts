import type { ContentStore, StagedContent } from '../contract/content-store.ts';
import type { HandStore, Outcome } from '../contract/run.ts';
import type { SyncLimits } from './limits.ts';

/**
 * Gathers finished entries and commits them together: first their bytes become durable, then their rows visible.
 * One commit after the other, of all that has come while the one before was under way; the bytes of the next become durable while the rows
 * of one are written. When one fails, everything after it fails with the same error.
 */
export class Committer {
  readonly #store: HandStore;
  readonly #content: ContentStore;
  readonly #limits: SyncLimits;
  readonly #onFailure: (error: unknown) => void;
  readonly #onCommitted: () => void;
  readonly #unsettledIn = new Map<number, number>();
  #outcomes: Outcome[] = [];
  /** Outcomes and bytes that are not committed yet. */
  #held = 0;
  #heldBytes = 0;
  #bytes = 0;
  #settled: number[] = [];
  #timer: NodeJS.Timeout | undefined;
  #working: Promise<void> | null = null;
  /** The rows that are being written. */
  #writing: Promise<void> = Promise.resolve();
  #isDue = false;
  #failed = false;

  constructor(
    store: HandStore,
    content: ContentStore,
    limits: SyncLimits,
    onFailure: (error: unknown) => void,
    onCommitted: () => void = () => undefined,
  ) {
    this.#store = store;
    this.#content = content;
    this.#limits = limits;
    this.#onFailure = onFailure;
    this.#onCommitted = onCommitted;
  }

  /** Announces a batch: its row goes away with the commit of its last entry. */
  open(batch: number, entries: number): void {
    if (entries > 0) this.#unsettledIn.set(batch, entries);
    else this.#settle(batch);
  }

  /** Whether so much waits to be committed that no more should be read. */
  get isFull(): boolean {
    return this.#held >= 8 * this.#limits.commitOutcomes || this.#heldBytes >= 4 * this.#limits.commitBytes;
  }

  /** Takes an entry's outcome. */
  add(batch: number, outcome: Outcome): void {
    this.#outcomes.push(outcome);
    const bytes = bytesOf(outcome);
    this.#held++;
    this.#heldBytes += bytes;
    this.#bytes += bytes;
    const left = (this.#unsettledIn.get(batch) ?? 1) - 1;
    this.#unsettledIn.set(batch, left);
    if (left === 0) this.#settle(batch);
    if (this.#outcomes.length >= this.#limits.commitOutcomes || this.#bytes >= this.#limits.commitBytes) this.#begin();
    else this.#schedule();
  }

  #settle(batch: number): void {
    this.#unsettledIn.delete(batch);
    this.#settled.push(batch);
    this.#schedule();
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => this.#begin(), this.#limits.commitDelayMs);
  }

  /** Begins a commit unless one is under way: that one is followed by another with all that has come meanwhile. */
  #begin(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isDue = true;
    this.#working ??= this.#work().finally(() => {
      this.#working = null;
    });
  }

  async #work(): Promise<void> {
    do {
      while (this.#isDue) {
        this.#isDue = false;
        const outcomes = this.#outcomes;
        const settled = this.#settled;
        this.#outcomes = [];
        this.#bytes = 0;
        this.#settled = [];
        await this.#commit(outcomes, settled);
      }
      await this.#writing;
    } while (this.#isDue);
  }

  /** Resolves when all that was added so far is committed. Never rejects: a failure goes to `onFailure`. */
  async flush(): Promise<void> {
    while (this.#outcomes.length + this.#settled.length > 0 || this.#working) {
      this.#begin();
      await this.#working;
    }
  }

  /** Resolves when the bytes are durable, and the rows of the commit before are written. */
  async #commit(outcomes: Outcome[], settled: number[]): Promise<void> {
    if (outcomes.length === 0 && settled.length === 0) return;
    const staged = outcomes.flatMap((outcome) => (outcome.kind === 'stored' ? [outcome.content] : []));
    let failure: { error: unknown } | null = null;
    try {
      if (this.#failed) throw new Error('an earlier commit failed');
      await this.#store.keepContent(staged.map(({ sha256 }) => sha256));
      await this.#content.commit(staged);
    } catch (error) {
      failure = { error };
    }
    await this.#writing;
    this.#writing = this.#write(outcomes, settled, staged, failure);
  }

  /** Never rejects. */
  async #write(
    outcomes: Outcome[],
    settled: number[],
    staged: StagedContent[],
    failure: { error: unknown } | null,
  ): Promise<void> {
    try {
      if (failure) throw failure.error;
      if (this.#failed) throw new Error('an earlier commit failed');
      await this.#store.commit(outcomes, settled);
    } catch (error) {
      await this.#content.discard(staged).catch(() => undefined);
      if (!this.#failed) this.#onFailure(error);
      this.#failed = true;
    } finally {
      this.#held -= outcomes.length;
      for (const outcome of outcomes) this.#heldBytes -= bytesOf(outcome);
      this.#onCommitted();
    }
  }
}

/** That wait in memory. */
function bytesOf(outcome: Outcome): number {
  return outcome.kind === 'stored' && outcome.content.inMemory ? outcome.content.size : 0;
}
