import type { LookupFunction } from 'node:net';
import { type Dispatcher, Pool } from 'undici';
import { CHUNK_BYTES, giveBack, takeChunk } from '../../src/contract/chunk-pool.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import type { Body } from '../../src/contract/object-store.ts';
import { AHEAD_CHUNKS, ArrivingChunks } from './arriving-chunks.ts';
import { LargeBody } from './large-body.ts';
import type { Answer, AnswerHeaders, RawRequest } from './messages.ts';

/** What is smaller does not hold the memory of a chunk. */
const SMALL_BYTES = CHUNK_BYTES / 8;
/** A body of so many bytes has a connection of its own. */
export const LARGE_BYTES = 16 * 1024 * 1024;
/** A body that is read whole, and larger than this, is put into a chunk of the pool. */
const POOLED_BYTES = CHUNK_BYTES / 2;
const ERROR_BYTES = 64 * 1024;
const MAX_SOCKETS = 128;
const CONNECT_TIMEOUT_MS = 10_000;

/** The connector's own error for an answer that is none of what was asked for. */
export type Refusal = (status: number, headers: AnswerHeaders, body: Buffer) => Error;

/**
 * GETs to one origin over connections that are kept, without the machinery of an SDK: for what a sync asks a million times. No redirect is
 * followed: what proves who asks goes to this origin and nowhere else.
 */
export class Requests {
  readonly #pool: Pool;
  readonly #refusal: Refusal;
  readonly #origin: URL;
  readonly #lookup: LookupFunction | undefined;

  constructor(origin: string, lookup: LookupFunction | undefined, refusal: Refusal) {
    this.#refusal = refusal;
    this.#origin = new URL(origin);
    this.#lookup = lookup;
    this.#pool = new Pool(origin, {
      connections: MAX_SOCKETS,
      pipelining: 1,
      allowH2: false,
      // The layers time out.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: CONNECT_TIMEOUT_MS, ...(lookup ? { lookup } : {}) },
    });
  }

  /** The whole body; of a page or of a small object. */
  async whole(request: RawRequest, atMost: number, signal: AbortSignal): Promise<Answer<Buffer>> {
    const { status, headers, body } = await collect(this.#pool, { method: 'GET', ...request }, signal, atMost);
    if (status >= 300) throw this.#refusal(status, headers, body);
    return { headers, body };
  }

  /** A body as it comes, of some length that is expected. */
  async stream(request: RawRequest, expected: number, signal: AbortSignal): Promise<Answer<Body>> {
    const large = expected >= LARGE_BYTES ? new LargeBody(this.#origin, this.#lookup, request, signal) : null;
    const begun = await large?.begun;
    if (large && begun) return this.#answer(large, begun);
    const body = new ArrivingBody(signal);
    this.#pool.dispatch({ method: 'GET', ...request }, body.handler);
    return this.#answer(body, await body.begun);
  }

  async #answer(body: Body, { status, headers }: { status: number; headers: AnswerHeaders }): Promise<Answer<Body>> {
    if (status < 300) return { headers, body };
    const said: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of body) {
      said.push(chunk);
      bytes += chunk.length;
      if (bytes > ERROR_BYTES) break;
    }
    throw this.#refusal(status, headers, Buffer.concat(said).subarray(0, ERROR_BYTES));
  }

  destroy(): void {
    void this.#pool.destroy().catch(() => undefined);
  }
}

/**
 * An answer as it comes, put together into large chunks of the pool. What has arrived when its reader asks is one chunk, but while more
 * than that is to come a chunk is filled first: large bodies come in large ones.
 */
class ArrivingBody extends ArrivingChunks {
  readonly begun: Promise<{ status: number; headers: AnswerHeaders }>;
  readonly handler: Dispatcher.DispatchHandler;
  #filling: Buffer | null = null;
  #filled = 0;
  /** Bytes that the answer says are still to come. */
  #left = 0;
  #controller: Dispatcher.DispatchController | null = null;

  constructor(signal: AbortSignal) {
    super();
    const { promise, resolve, reject } = Promise.withResolvers<Awaited<ArrivingBody['begun']>>();
    this.begun = promise;
    promise.catch(() => undefined);
    const abort = () => this.#controller?.abort(signal.reason);
    const ended = (end: { error: unknown } | 'done') => {
      this.end ??= end;
      signal.removeEventListener('abort', abort);
      this.wake();
    };
    this.handler = {
      onRequestStart: (controller) => {
        this.#controller = controller;
        if (signal.aborted || this.end) controller.abort(signal.reason ?? new Error('given up'));
        else signal.addEventListener('abort', abort, { once: true });
      },
      onResponseStart: (_controller, status, headers) => {
        this.#left = Number(headers['content-length'] ?? 0);
        resolve({ status, headers });
      },
      onResponseData: (controller, bytes) => {
        this.#put(bytes);
        if (this.full.length >= AHEAD_CHUNKS) controller.pause();
        if (this.full.length > 0 || this.#left <= 0) this.wake();
      },
      onResponseEnd: () => ended('done'),
      onResponseError: (_controller, error) => {
        reject(error);
        ended({ error });
      },
    };
  }

  #put(bytes: Buffer): void {
    this.#left -= bytes.length;
    for (let from = 0; from < bytes.length; ) {
      this.#filling ??= takeChunk();
      const copied = bytes.copy(this.#filling, this.#filled, from);
      from += copied;
      this.#filled += copied;
      if (this.#filled < CHUNK_BYTES) continue;
      this.full.push(this.#filling);
      this.#filling = null;
      this.#filled = 0;
    }
  }

  protected take(isLate: boolean): Buffer | null {
    const full = this.full.shift();
    if (full) {
      if (this.full.length === AHEAD_CHUNKS - 1) this.#controller?.resume();
      return full;
    }
    if (!this.#filling || (this.#left > 0 && !this.end && !isLate)) return null;
    const chunk = this.#filling;
    const rest = chunk.subarray(0, this.#filled);
    this.#filling = null;
    this.#filled = 0;
    if (rest.length >= SMALL_BYTES) return rest;
    const copy = Buffer.from(rest);
    giveBack(chunk);
    return copy;
  }

  destroy(): void {
    this.giveBackFull();
    if (this.#filling) giveBack(this.#filling);
    this.#filling = null;
    this.#filled = 0;
    if (this.end) return;
    this.end = 'done';
    this.#controller?.abort(new Error('given up'));
  }
}

/** Reads an answer into one buffer. An answer that is longer than `atMost` is cut off with an error. */
function collect(pool: Pool, options: Dispatcher.RequestOptions, signal: AbortSignal, atMost: number) {
  return new Promise<{ status: number; headers: AnswerHeaders; body: Buffer }>((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    let status = 0;
    let headers: AnswerHeaders = {};
    let length = 0;
    const chunks: Buffer[] = [];
    /** Of a large one, where its bytes go at once. */
    let place: Buffer | null = null;
    let abort = () => undefined as undefined;
    const end = () => signal.removeEventListener('abort', abort);
    pool.dispatch(options as Dispatcher.DispatchOptions, {
      onRequestStart: (controller) => {
        abort = () => void controller.abort(signal.reason) as undefined;
        signal.addEventListener('abort', abort, { once: true });
      },
      onResponseStart: (_controller, code, named) => {
        status = code;
        headers = named;
        const stated = Number(named['content-length'] ?? 0);
        if (code < 300 && stated > POOLED_BYTES && stated <= Math.min(atMost, CHUNK_BYTES)) place = takeChunk();
      },
      onResponseData: (controller, chunk) => {
        length += chunk.length;
        if (length > (status < 300 ? atMost : ERROR_BYTES)) controller.abort(tooLong(atMost));
        else if (place) chunk.copy(place, length - chunk.length);
        else chunks.push(chunk);
      },
      onResponseEnd: () => {
        end();
        const body = place?.subarray(0, length) ?? (chunks.length === 1 ? chunks[0] : Buffer.concat(chunks, length));
        resolve({ status, headers, body: body as Buffer });
      },
      onResponseError: (_controller, error) => {
        end();
        if (place) giveBack(place);
        reject(error);
      },
    });
  });
}

function tooLong(atMost: number): ConnectorError {
  return new ConnectorError('truncated', `The source sent more than the ${atMost} bytes that it listed.`, {
    operation: 'read',
    retryable: true,
  });
}
