import { giveBack } from '../../src/contract/chunk-pool.ts';
import type { Body } from '../../src/contract/object-store.ts';

/** Chunks of a body that wait for the reader at the most; then the sender waits. */
export const AHEAD_CHUNKS = 2;
/** Of a source that is slow the reader has what there is after so long. */
const PATIENCE_MS = 1000;

/** A body that is put together into chunks of the pool while it arrives, and read one chunk after the other. */
export abstract class ArrivingChunks implements Body {
  protected readonly full: Buffer[] = [];
  protected end: { readonly error: unknown } | 'done' | null = null;
  #wake: () => void = () => undefined;

  /** What there is for the reader now; null: it has to wait. `isLate`: it has waited long enough for a full chunk. */
  protected abstract take(isLate: boolean): Buffer | null;
  /** Nobody reads any more. */
  abstract destroy(): void;

  /** Has the reader look again. */
  protected wake(): void {
    this.#wake();
  }

  protected giveBackFull(): void {
    for (const chunk of this.full.splice(0)) giveBack(chunk);
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    try {
      for (let isLate = false; ; ) {
        const chunk = this.take(isLate);
        isLate = false;
        if (chunk) yield chunk;
        else if (this.end === 'done') return;
        else if (this.end) throw this.end.error;
        else isLate = await this.#more();
      }
    } finally {
      this.destroy();
    }
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
