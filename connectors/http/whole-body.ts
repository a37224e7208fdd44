import { CHUNK_BYTES, giveBack, takeChunk, takePiece } from '../../src/contract/chunk-pool.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import type { Flow, Head, Receiver } from './messages.ts';

/** No refusal is longer. */
export const ERROR_BYTES = 64 * 1024;
/** A body that is larger than this, and known to fit, has a chunk of the pool for itself. */
const POOLED_BYTES = CHUNK_BYTES / 2;

/** An answer that is read into one buffer. One that is longer than `atMost`, or than a refusal may be, is cut off with an error. */
export class WholeBody implements Receiver {
  readonly done: Promise<{ readonly head: Head; readonly body: Buffer }>;
  #resolve!: (answer: { readonly head: Head; readonly body: Buffer }) => void;
  #reject!: (error: unknown) => void;
  readonly #atMost: number;
  #head: Head | null = null;
  #flow: Flow | null = null;
  #length = 0;
  #limit: number;
  #pieces: Buffer[] = [];
  /** Of a large one, where its bytes go at once. */
  #place: Buffer | null = null;

  /** `isPage`: it is given back as soon as it was read, so it may have the memory of a chunk whatever its length. */
  constructor(atMost: number, isPage = false) {
    this.#atMost = atMost;
    this.#limit = atMost;
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (isPage) this.#place = takeChunk();
  }

  begin(head: Head, flow: Flow): void {
    this.#head = head;
    this.#flow = flow;
    if (head.status >= 300) this.#limit = ERROR_BYTES;
    const stated = Number(head.headers['content-length'] ?? 0);
    if (head.status < 300 && stated <= Math.min(this.#atMost, CHUNK_BYTES))
      this.#place ??= stated > POOLED_BYTES ? takeChunk() : takePiece(stated);
  }

  room(): Buffer | null {
    return this.#place && this.#length < this.#place.length ? this.#place.subarray(this.#length) : null;
  }

  filled(bytes: number): boolean {
    this.#length += bytes;
    if (this.#length <= this.#limit) return true;
    this.#flow?.stop(tooLong(this.#limit));
    return false;
  }

  take(bytes: Buffer, isLent: boolean): boolean {
    const room = this.room();
    const placed = room ? bytes.copy(room) : 0;
    if (placed < bytes.length) {
      const rest = bytes.subarray(placed);
      this.#pieces.push(isLent ? Buffer.from(rest) : rest);
    }
    return this.filled(bytes.length);
  }

  end(): void {
    const head = this.#head as Head;
    const place = this.#place?.subarray(0, this.#length);
    if (place && this.#pieces.length === 0) return this.#resolve({ head, body: place });
    this.#resolve({ head, body: Buffer.concat(place ? [place, ...this.#pieces] : this.#pieces) });
    if (place) giveBack(place);
  }

  fail(error: unknown): void {
    if (this.#place) giveBack(this.#place);
    this.#place = null;
    this.#reject(error);
  }
}

function tooLong(bytes: number): ConnectorError {
  return new ConnectorError('truncated', `The source sent more than the ${bytes} bytes that it listed.`, {
    operation: 'read',
    retryable: true,
  });
}
