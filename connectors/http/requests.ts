import type { LookupFunction } from 'node:net';
import type { Dispatcher, Pool } from 'undici';
import { giveBack } from '../../src/contract/chunk-pool.ts';
import type { Body } from '../../src/contract/object-store.ts';
import { ArrivingBody } from './arriving-body.ts';
import { CONNECT_TIMEOUT_MS } from './lane.ts';
import { Lanes } from './lanes.ts';
import type { AnswerHeaders, Head, RawRequest, Receiver } from './messages.ts';
import { ERROR_BYTES, WholeBody } from './whole-body.ts';

const MAX_SOCKETS = 128;

/** The connector's own error for an answer that is none of what was asked for. */
export type Refusal = (status: number, headers: AnswerHeaders, body: Buffer) => Error;

/**
 * GETs to one origin over connections that are kept, without the machinery of an SDK: for what a sync asks a million times. They go by
 * lanes; where answers have an unusual form, by undici. No redirect is followed: what proves who asks goes to this origin and nowhere else.
 */
export class Requests {
  readonly #origin: string;
  readonly #lookup: LookupFunction | undefined;
  readonly #lanes: Lanes;
  readonly #refusal: Refusal;
  /** Made when there was an unusual answer: who gives one does so always. */
  #pool: Promise<Pool> | null = null;

  constructor(origin: string, lookup: LookupFunction | undefined, refusal: Refusal) {
    this.#origin = origin;
    this.#lookup = lookup;
    this.#refusal = refusal;
    this.#lanes = new Lanes(new URL(origin), lookup, (asked) =>
      this.#askPool(asked.request, asked.receiver, asked.signal),
    );
  }

  /** What `read` makes of a whole answer that is no refusal. When that throws, nobody has the body. */
  whole<T>(
    request: RawRequest,
    atMost: number,
    signal: AbortSignal,
    read: (headers: AnswerHeaders, body: Buffer) => T,
  ): Promise<T> {
    const whole = new WholeBody(atMost, (head, body) => {
      this.#assertAnswered(head, body);
      return read(head.headers, body);
    });
    this.#ask(request, whole, signal);
    return whole.done;
  }

  /** What `read` makes of a page, which is there until it has. */
  async page<T>(
    request: RawRequest,
    atMost: number,
    signal: AbortSignal,
    read: (body: Buffer, headers: AnswerHeaders) => T | Promise<T>,
  ): Promise<T> {
    const whole = new WholeBody(atMost, (head, body) => ({ head, body }), true);
    this.#ask(request, whole, signal);
    const { head, body } = await whole.done;
    try {
      this.#assertAnswered(head, body);
      return await read(body, head.headers);
    } finally {
      giveBack(body);
    }
  }

  /** What `read` makes of an answer whose body is still to come. When that throws, nobody has the body. */
  async stream<T>(
    request: RawRequest,
    signal: AbortSignal,
    read: (headers: AnswerHeaders, body: Body) => T,
  ): Promise<T> {
    const body = new ArrivingBody();
    this.#ask(request, body, signal);
    const { status, headers } = await body.begun;
    if (status < 300) {
      try {
        return read(headers, body);
      } catch (error) {
        body.destroy();
        throw error;
      }
    }
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
    this.#lanes.destroy();
    void this.#pool?.then((pool) => pool.destroy()).catch(() => undefined);
  }

  #assertAnswered({ status, headers }: Head, body: Buffer): void {
    if (status >= 300) throw this.#refusal(status, headers, Buffer.from(body));
  }

  #ask(request: RawRequest, receiver: Receiver, signal: AbortSignal): void {
    if (this.#pool) this.#askPool(request, receiver, signal);
    else this.#lanes.ask(request, receiver, signal);
  }

  #askPool(request: RawRequest, receiver: Receiver, signal: AbortSignal): void {
    this.#pool ??= openPool(this.#origin, this.#lookup);
    this.#pool
      .then((pool) => dispatch(pool, request, receiver, signal))
      .catch((error: unknown) => receiver.fail(error));
  }
}

/** Most sources never need it, and need not wait for it to load. */
async function openPool(origin: string, lookup: LookupFunction | undefined): Promise<Pool> {
  const { Pool } = await import('undici');
  return new Pool(origin, {
    connections: MAX_SOCKETS,
    pipelining: 1,
    allowH2: false,
    // The layers time out.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: { timeout: CONNECT_TIMEOUT_MS, ...(lookup ? { lookup } : {}) },
  });
}

function dispatch(pool: Pool, request: RawRequest, receiver: Receiver, signal: AbortSignal): void {
  if (signal.aborted) return receiver.fail(signal.reason);
  let controller: Dispatcher.DispatchController | null = null;
  const abort = () => controller?.abort(signal.reason);
  const release = () => signal.removeEventListener('abort', abort);
  const { path, headers } = request;
  pool.dispatch({ method: 'GET', path, headers } as Dispatcher.DispatchOptions, {
    onRequestStart: (started) => {
      controller = started;
      if (signal.aborted) abort();
      else signal.addEventListener('abort', abort, { once: true });
    },
    onResponseStart: (started, status, headers) => {
      const head: Head = { status, headers };
      receiver.begin(head, { resume: () => started.resume(), stop: (reason) => started.abort(reason as Error) });
    },
    onResponseData: (started, bytes) => {
      if (!receiver.take(bytes, false)) started.pause();
    },
    onResponseEnd: () => {
      release();
      receiver.end();
    },
    onResponseError: (_controller, error) => {
      release();
      receiver.fail(error);
    },
  });
}
