import type { LookupFunction } from 'node:net';
import { type Dispatcher, Pool } from 'undici';
import { ConnectorError } from '../../src/contract/errors.ts';
import type { Body } from '../../src/contract/object-store.ts';

/** What a stream holds at the most before its reader has taken it; then the sender waits. */
const AHEAD_BYTES = 256 * 1024;
const ERROR_BYTES = 64 * 1024;
const MAX_SOCKETS = 128;
const CONNECT_TIMEOUT_MS = 10_000;

/** Names in lower case. */
export type AnswerHeaders = Readonly<Record<string, string | string[] | undefined>>;

export interface Answer<B> {
  readonly headers: AnswerHeaders;
  readonly body: B;
}

/** A GET as it goes over the wire. */
export interface RawRequest {
  /** With its query. */
  readonly path: string;
  /** Name, value, name, value. */
  readonly headers: string[];
}

/** The connector's own error for an answer that is none of what was asked for. */
export type Refusal = (status: number, headers: AnswerHeaders, body: Buffer) => Error;

/**
 * GETs to one origin over connections that are kept, without the machinery of an SDK: for what a sync asks a million times. No redirect is
 * followed: what proves who asks goes to this origin and nowhere else.
 */
export class Requests {
  readonly #pool: Pool;
  readonly #refusal: Refusal;

  constructor(origin: string, lookup: LookupFunction | undefined, refusal: Refusal) {
    this.#refusal = refusal;
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

  /** A body as it comes. */
  async stream(request: RawRequest, signal: AbortSignal): Promise<Answer<Body>> {
    const body = new ArrivingBody(signal);
    this.#pool.dispatch({ method: 'GET', ...request }, body.handler);
    const { status, headers } = await body.begun;
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

/** An answer as it comes. What arrives while its reader is busy is one chunk, so that large bodies come in large ones. */
class ArrivingBody implements Body {
  readonly begun: Promise<{ status: number; headers: AnswerHeaders }>;
  readonly handler: Dispatcher.DispatchHandler;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #end: { error: unknown } | 'done' | null = null;
  #controller: Dispatcher.DispatchController | null = null;
  #wake: () => void = () => undefined;

  constructor(signal: AbortSignal) {
    const { promise, resolve, reject } = Promise.withResolvers<Awaited<ArrivingBody['begun']>>();
    this.begun = promise;
    promise.catch(() => undefined);
    const abort = () => this.#controller?.abort(signal.reason);
    const ended = (end: { error: unknown } | 'done') => {
      this.#end ??= end;
      signal.removeEventListener('abort', abort);
      this.#wake();
    };
    this.handler = {
      onRequestStart: (controller) => {
        this.#controller = controller;
        if (signal.aborted || this.#end) controller.abort(signal.reason ?? new Error('given up'));
        else signal.addEventListener('abort', abort, { once: true });
      },
      onResponseStart: (_controller, status, headers) => resolve({ status, headers }),
      onResponseData: (controller, chunk) => {
        this.#chunks.push(chunk);
        this.#bytes += chunk.length;
        if (this.#bytes >= AHEAD_BYTES) controller.pause();
        this.#wake();
      },
      onResponseEnd: () => ended('done'),
      onResponseError: (_controller, error) => {
        reject(error);
        ended({ error });
      },
    };
  }

  destroy(): void {
    if (this.#end) return;
    this.#end = 'done';
    this.#chunks = [];
    this.#controller?.abort(new Error('given up'));
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    try {
      for (;;) {
        if (this.#bytes > 0) {
          const taken = this.#chunks;
          const bytes = this.#bytes;
          this.#chunks = [];
          this.#bytes = 0;
          if (bytes >= AHEAD_BYTES) this.#controller?.resume();
          yield taken.length === 1 ? (taken[0] as Buffer) : Buffer.concat(taken, bytes);
        } else if (this.#end === 'done') return;
        else if (this.#end) throw this.#end.error;
        else
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
      }
    } finally {
      this.destroy();
    }
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
      },
      onResponseData: (controller, chunk) => {
        length += chunk.length;
        if (length > (status < 300 ? atMost : ERROR_BYTES)) controller.abort(tooLong(atMost));
        else chunks.push(chunk);
      },
      onResponseEnd: () => {
        end();
        resolve({ status, headers, body: chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, length) });
      },
      onResponseError: (_controller, error) => {
        end();
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
