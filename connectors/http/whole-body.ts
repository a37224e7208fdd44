import { CHUNK_BYTES, giveBack, takeChunk, takePiece, takeRoom } from '../../src/contract/chunk-pool.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import type { Flow, Head, Receiver } from './messages.ts';

/** No refusal is longer. */
export const ERROR_BYTES = 64 * 1024;
/** A body that is larger than this, and known to fit, has a chunk of the pool for itself. */
const POOLED_BYTES = CHUNK_BYTES / 2;

/** The room for a body of which nobody has said how long it is. */
const LEAST_BYTES = 64 * 1024;

/** What becomes of an answer that has come whole. */
type Reading<T> = (head: Head, body: Buffer) => T;

/**
 * An answer that is read into one buffer. One that is longer than `atMost`, or than a refusal may be, is cut off with an error.
 * What `read` makes of it, in the order in which answers came.
 */
export class WholeBody<T> implements Receiver {
  readonly done: Promise<T>;
  #resolve!: (read: T) => void;
  #reject!: (error: unknown) => void;
  readonly #read: Reading<T>;
  readonly #isPage: boolean;
  #head: Head | null = null;
  #flow: Flow | null = null;
  #length = 0;
  #limit: number;
  /** Where its bytes go at once. */
  #place: Buffer | null = null;

  /** `isPage`: it is given back as soon as it was read, so it may have the memory of a chunk whatever its length. */
  constructor(atMost: number, read: Reading<T>, isPage = false) {
    this.#limit = atMost;
    this.#read = read;
    this.#isPage = isPage;
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (isPage) this.#place = takeChunk();
  }

  begin(head: Head, flow: Flow): void {
    this.#head = head;
    this.#flow = flow;
    if (head.status >= 300) {
      this.#limit = ERROR_BYTES;
      return;
    }
    const stated = Number(head.headers['content-length'] ?? 0);
    if (stated > this.#limit) return;
    if (stated <= CHUNK_BYTES) this.#place ??= stated > POOLED_BYTES ? takeChunk() : takePiece(stated);
    else if (this.#isPage) this.#makeRoom(stated);
  }

  room(): Buffer | null {
    const place = this.#place;
    if (!place || this.#length >= place.length) return null;
    return this.#length === 0 ? place : place.subarray(this.#length);
  }

  filled(bytes: number): boolean {
    this.#length += bytes;
    if (this.#length <= this.#limit) return true;
    this.#flow?.stop(tooLong(this.#limit));
    return false;
  }

  take(bytes: Buffer): boolean {
    const length = this.#length + bytes.length;
    if (bytes.length > 0 && length <= this.#limit) {
      if (length > (this.#place?.length ?? 0)) this.#makeRoom(length);
      bytes.copy(this.#place as Buffer, this.#length);
    }
    return this.filled(bytes.length);
  }

  end(): void {
    settleSoon(this);
  }

  fail(error: unknown): void {
    if (this.#place) giveBack(this.#place);
    this.#place = null;
    this.#reject(error);
  }

  /** Has whoever waits hear of it. */
  settle(): void {
    const body = this.#whole();
    try {
      this.#resolve(this.#read(this.#head as Head, body));
    } catch (error) {
      giveBack(body);
      this.#reject(error);
    }
  }

  #whole(): Buffer {
    const place = this.#place ?? Buffer.alloc(0);
    return this.#length < place.length ? place.subarray(0, this.#length) : place;
  }

  /** Twice as much as before, if it may become so long. */
  #makeRoom(bytes: number): void {
    const before = this.#place;
    const room = Math.min(Math.max(bytes, 2 * (before?.length ?? 0), LEAST_BYTES), Math.max(bytes, this.#limit));
    const place = this.#isPage ? takeRoom(room) : Buffer.allocUnsafeSlow(room);
    if (before) {
      before.copy(place, 0, 0, this.#length);
      giveBack(before);
    }
    this.#place = place;
  }
}

/**
 * Answers that are whole, until the event loop has read what else has come. Then all of them go the same way step by step, side by side,
 * which takes a tenth less than each going all of it: processors are quick at what they have just done.
 */
let whole: { settle(): void }[] = [];

function settleSoon(body: { settle(): void }): void {
  if (whole.push(body) === 1) setImmediate(settleAll);
}

function settleAll(): void {
  const all = whole;
  whole = [];
  for (const body of all) body.settle();
}

function tooLong(bytes: number): ConnectorError {
  return new ConnectorError('truncated', `The source sent more than the ${bytes} bytes that it listed.`, {
    operation: 'read',
    retryable: true,
  });
}
