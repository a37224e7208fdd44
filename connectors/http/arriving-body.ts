import { CHUNK_BYTES, giveBack, takeChunk } from '../../src/contract/chunk-pool.ts';
import type { Body } from '../../src/contract/object-store.ts';
import type { Flow, Head, Receiver } from './messages.ts';

/** Chunks of a body that wait for the reader at the most; then the sender waits. */
const AHEAD_CHUNKS = 2;
/** Of a source that is slow the reader has what there is after so long. */
const PATIENCE_MS = 1000;
/** What is smaller does not hold the memory of a chunk. */
const SMALL_BYTES = CHUNK_BYTES / 8;

/**
 * A body that is put together into chunks of the pool while it arrives, and read one chunk after the other. While more than what has
 * arrived is to come a chunk is filled first: large bodies come in large ones.
 */
export class ArrivingBody implements Body, Receiver {
  readonly begun: Promise<Head>;
  readonly #begin = Promise.withResolvers<Head>();
  readonly #full: Buffer[] = [];
  #filling: Buffer | null = null;
  #filled = 0;
  /** Of what is filled, the reader has this already. */
  #taken = 0;
  #end: { readonly error: unknown } | 'done' | null = null;
  #flow: Flow | null = null;
  #isPaused = false;
  #wake: () => void = () => undefined;

  constructor() {
    this.begun = this.#begin.promise;
    this.begun.catch(() => undefined);
  }

  begin(head: Head, flow: Flow): void {
    this.#flow = flow;
    if (this.#end) flow.stop(new Error('given up'));
    this.#begin.resolve(head);
  }

  room(): Buffer | null {
    if (this.#end) return null;
    this.#filling ??= takeChunk();
    return this.#filling.subarray(this.#filled);
  }

  filled(bytes: number): boolean {
    this.#filled += bytes;
    if (this.#filled === CHUNK_BYTES) {
      this.#full.push((this.#filling as Buffer).subarray(this.#taken));
      this.#filling = null;
      this.#filled = 0;
      this.#taken = 0;
      this.#wake();
    }
    this.#isPaused = this.#full.length >= AHEAD_CHUNKS;
    return !this.#isPaused;
  }

  take(bytes: Buffer): boolean {
    for (let from = 0; from < bytes.length; ) {
      const room = this.room();
      if (!room) return false;
      const copied = bytes.copy(room, 0, from);
      from += copied;
      this.filled(copied);
    }
    return !this.#isPaused;
  }

  end(): void {
    this.#end ??= 'done';
    this.#wake();
  }

  fail(error: unknown): void {
    this.#end ??= { error };
    this.#begin.reject(error);
    this.#wake();
  }

  /** Nobody reads any more. */
  destroy(): void {
    const wasComing = this.#end === null;
    this.#end ??= 'done';
    if (wasComing) this.#flow?.stop(new Error('given up'));
    // From now on nothing is written into any chunk.
    for (const chunk of this.#full.splice(0)) giveBack(chunk);
    if (this.#filling) giveBack(this.#filling);
    this.#filling = null;
    this.#filled = 0;
    this.#taken = 0;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    try {
      for (let isLate = false; ; ) {
        const chunk = this.#next(isLate);
        isLate = false;
        if (chunk) yield chunk;
        else if (this.#end === 'done') return;
        else if (this.#end) throw this.#end.error;
        else isLate = await this.#more();
      }
    } finally {
      this.destroy();
    }
  }

  /** What there is for the reader now; null: it has to wait. `isLate`: it has waited long enough for a full chunk. */
  #next(isLate: boolean): Buffer | null {
    const full = this.#full.shift();
    if (full) {
      if (this.#isPaused && this.#full.length < AHEAD_CHUNKS) {
        this.#isPaused = false;
        this.#flow?.resume();
      }
      return full;
    }
    const filling = this.#filling;
    if (!filling || this.#filled === this.#taken || !(this.#end || isLate)) return null;
    const rest = filling.subarray(this.#taken, this.#filled);
    this.#taken = this.#filled;
    // While more is expected the kernel writes on behind it, so it cannot be given back by whoever reads.
    if (!this.#end) return Buffer.from(rest);
    this.#filling = null;
    if (rest.length >= SMALL_BYTES) return rest;
    const copy = Buffer.from(rest);
    giveBack(filling);
    return copy;
  }

  /** Resolves when there is something to be looked at; true: because it takes long. */
  #more(): Promise<boolean> {
    return new Promise((resolve) => {
      const late = setTimeout(() => resolve(true), PATIENCE_MS);
      this.#wake = () => {
        clearTimeout(late);
        resolve(false);
      };
    });
  }
}
