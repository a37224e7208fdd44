import type { LookupFunction } from 'node:net';
import type { Dispatcher, Pool } from 'undici';
import { giveBack } from '../../src/contract/chunk-pool.ts';
import type { Body } from '../../src/contract/object-store.ts';
import { ArrivingBody } from './arriving-body.ts';
import { CONNECT_TIMEOUT_MS, UnusualAnswer } from './lane.ts';
import { Lanes } from './lanes.ts';
import type { Answer, AnswerHeaders, Head, RawRequest, Receiver } from './messages.ts';
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
    this.#lanes = new Lanes(new URL(origin), lookup);
  }

  /** The whole body of a small object. */
  async whole(request: RawRequest, atMost: number, signal: AbortSignal): Promise<Answer<Buffer>> {
    const { head, body } = await this.#collected(request, signal, () => new WholeBody(atMost));
    if (head.status >= 300) throw this.#refusal(head.status, head.headers, body);
    return { headers: head.headers, body };
  }

  /** What `read` makes of a page, which is there until it has. */
  async page<T>(
    request: RawRequest,
    atMost: number,
    signal: AbortSignal,
    read: (body: Buffer, headers: AnswerHeaders) => T | Promise<T>,
  ): Promise<T> {
    const { head, body } = await this.#collected(request, signal, () => new WholeBody(atMost, true));
    try {
      if (head.status >= 300) throw this.#refusal(head.status, head.headers, Buffer.from(body));
      return await read(body, head.headers);
    } finally {
      giveBack(body);
    }
  }

  /** A body as it comes. */
  async stream(request: RawRequest, signal: AbortSignal): Promise<Answer<Body>> {
    const { head, body } = await this.#asked(request, signal, async (ask) => {
      const arriving = new ArrivingBody();
      ask(arriving);
      return { head: await arriving.begun, body: arriving };
    });
    const { status, headers } = head;
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
    this.#lanes.destroy();
    void this.#pool?.then((pool) => pool.destroy()).catch(() => undefined);
  }

  #collected(request: RawRequest, signal: AbortSignal, receiver: () => WholeBody) {
    return this.#asked(request, signal, (ask) => {
      const whole = receiver();
      ask(whole);
      return whole.done;
    });
  }

  /** Has `work` ask with a receiver of its own, once more by the client that knows more when the answer is unusual. */
  async #asked<T>(
    request: RawRequest,
    signal: AbortSignal,
    work: (ask: (receiver: Receiver) => void) => Promise<T>,
  ): Promise<T> {
    if (!this.#pool) {
      try {
        return await work((receiver) => this.#lanes.ask(request, receiver, signal));
      } catch (error) {
        if (!(error instanceof UnusualAnswer)) throw error;
      }
    }
    this.#pool ??= openPool(this.#origin, this.#lookup);
    const pool = await this.#pool;
    return work((receiver) => dispatch(pool, request, receiver, signal));
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
  pool.dispatch({ method: 'GET', ...request } as Dispatcher.DispatchOptions, {
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
