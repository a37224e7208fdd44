import { setTimeout as wait } from 'node:timers/promises';
import type { Queryable } from '../contract/database.ts';

const POLL_MS = 200;

interface Waiting {
  readonly collectionId: string;
  readonly after: number;
  readonly wake: () => void;
}

/** Wakes those who wait for changes: one question to the database for all of them, however many there are. */
export class ChangeWatch {
  readonly #db: Queryable;
  readonly #waiting = new Set<Waiting>();
  #polling = false;
  #closed = false;

  constructor(db: Queryable) {
    this.#db = db;
  }

  /** Resolves when the collection has a change after that number, when the time is over, or when the signal aborts. */
  async after(collectionId: string, after: number, ms: number, signal?: AbortSignal): Promise<void> {
    if (this.#closed) return;
    const over = new AbortController();
    const mine: Waiting = { collectionId, after, wake: () => over.abort() };
    this.#waiting.add(mine);
    void this.#poll();
    const signals = signal ? [over.signal, signal] : [over.signal];
    await wait(Math.max(1, ms), undefined, { signal: AbortSignal.any(signals), ref: true }).catch(() => undefined);
    this.#waiting.delete(mine);
  }

  /** Nobody waits any more: the process is stopping. */
  close(): void {
    this.#closed = true;
    for (const { wake } of this.#waiting) wake();
  }

  get closed(): boolean {
    return this.#closed;
  }

  async #poll(): Promise<void> {
    if (this.#polling) return;
    this.#polling = true;
    try {
      while (this.#waiting.size > 0) {
        const ids = [...new Set([...this.#waiting].map(({ collectionId }) => collectionId))];
        const rows = await this.#db.query<{ id: string; last: number }>(
          'select id, last_change as last from lockgate.collection where id = any($1)',
          [ids],
        );
        const last = new Map(rows.map((row) => [row.id, row.last]));
        for (const { collectionId, after, wake } of this.#waiting) {
          // A collection that is gone has nobody to wait for.
          if ((last.get(collectionId) ?? Number.POSITIVE_INFINITY) > after) wake();
        }
        await wait(POLL_MS);
      }
    } catch {
      // The database is away: those who wait find that out themselves.
      for (const { wake } of this.#waiting) wake();
    } finally {
      this.#polling = false;
    }
  }
}
