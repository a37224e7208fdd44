import { connect, type LookupFunction, type Socket } from 'node:net';
import { connect as connectSecurely } from 'node:tls';
import { CHUNK_BYTES, takeChunk } from '../../src/contract/chunk-pool.ts';
import { AHEAD_CHUNKS, ArrivingChunks } from './arriving-chunks.ts';
import type { AnswerHeaders, RawRequest } from './messages.ts';

const MAX_HEAD_BYTES = 64 * 1024;
const CONNECT_TIMEOUT_MS = 10_000;

interface Head {
  readonly status: number;
  readonly headers: AnswerHeaders;
}

/**
 * A GET on a connection of its own, whose body the kernel writes straight into chunks of the pool. What a client that keeps its
 * connections does for each 64 KiB (memory of its own, an object, the collector) costs more than hashing and writing a large body; one
 * connection more for such a body costs nothing. HTTP/1.1 with a stated length and nothing else: `begun` is null for an answer of another
 * form, which is for others to ask for again.
 */
export class LargeBody extends ArrivingChunks {
  readonly begun: Promise<Head | null>;
  readonly #socket: Socket;
  /** Of the head what has come, until it is whole. */
  #head: Buffer | null = Buffer.alloc(0);
  #filling: Buffer = takeChunk();
  #filled = 0;
  /** Of what is filled, the reader has this already. */
  #taken = 0;
  #left = 0;
  readonly #begin: PromiseWithResolvers<Head | null>;

  constructor(origin: URL, lookup: LookupFunction | undefined, request: RawRequest, signal: AbortSignal) {
    super();
    this.#begin = Promise.withResolvers<Head | null>();
    this.begun = this.#begin.promise;
    this.begun.catch(() => undefined);
    const text = textOf(origin, request);
    const socket = this.#connect(origin, lookup);
    this.#socket = socket;
    const abort = () => socket.destroy(signal.reason);
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => socket.destroy(coded('ETIMEDOUT', 'There is no connection.')));
    socket.once(origin.protocol === 'https:' ? 'secureConnect' : 'connect', () => socket.setTimeout(0));
    socket.on('error', (error) => this.#finish({ error }));
    socket.once('close', () => {
      signal.removeEventListener('abort', abort);
      this.#finish({ error: signal.aborted ? signal.reason : coded('ECONNRESET', 'The connection ended too early.') });
    });
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
    socket.write(text);
  }

  #connect(origin: URL, lookup: LookupFunction | undefined): Socket {
    const isSecure = origin.protocol === 'https:';
    const host = origin.hostname.replace(/^\[|\]$/g, '');
    const options = {
      host,
      port: Number(origin.port || (isSecure ? 443 : 80)),
      ...(lookup ? { lookup } : {}),
      // The kernel has the place for the next bytes as soon as it has been asked for: right after the last ones were told.
      onread: { buffer: () => this.#room(), callback: (bytes: number) => this.#received(bytes) },
    };
    if (!isSecure) return connect(options);
    const isAddress = /^[\d.]+$|:/.test(host);
    return connectSecurely({ ...options, ...(isAddress ? {} : { servername: host }), ALPNProtocols: ['http/1.1'] });
  }

  /** Where the next bytes go. */
  #room(): Buffer {
    if (this.#filled === CHUNK_BYTES) {
      this.full.push(this.#filling.subarray(this.#taken));
      this.#filling = takeChunk();
      this.#filled = 0;
      this.#taken = 0;
    }
    return this.#filling.subarray(this.#filled);
  }

  /** Whether more may come at once. */
  #received(bytes: number): boolean {
    if (this.end) return false;
    return this.#head ? this.#readHead(this.#filling.subarray(0, bytes)) : this.#count(bytes);
  }

  #readHead(bytes: Buffer): boolean {
    const head = Buffer.concat([this.#head as Buffer, bytes]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0 && head.length <= MAX_HEAD_BYTES) {
      this.#head = head;
      return true;
    }
    const parsed = end < 0 ? null : parseHead(head.subarray(0, end).toString('latin1'));
    const length = parsed ? lengthOf(parsed) : null;
    // What stands behind the head is the beginning of the body, and belongs to the beginning of the chunk.
    const body = head.subarray(end + 4);
    if (length === null || body.length > CHUNK_BYTES) {
      this.#begin.resolve(null);
      this.#finish('done');
      return false;
    }
    this.#begin.resolve(parsed);
    this.#head = null;
    this.#left = length;
    body.copy(this.#filling);
    return this.#count(body.length);
  }

  #count(bytes: number): boolean {
    const wanted = Math.min(bytes, this.#left);
    this.#filled += wanted;
    this.#left -= wanted;
    if (this.#left === 0) this.#finish('done');
    else if (this.#filled === CHUNK_BYTES) this.wake();
    const waiting = this.full.length + Number(this.#filled === CHUNK_BYTES);
    return this.end === null && waiting < AHEAD_CHUNKS;
  }

  #finish(end: { readonly error: unknown } | 'done'): void {
    if (!this.end) {
      this.end = end;
      if (end !== 'done') this.#begin.reject(end.error);
      // From now on nothing is written into any chunk.
      this.#socket?.destroy();
    }
    this.wake();
  }

  destroy(): void {
    this.#finish('done');
    this.giveBackFull();
    this.#taken = this.#filled;
  }

  protected take(isLate: boolean): Buffer | null {
    const full = this.full.shift();
    if (full) {
      if (!this.end) this.#socket.resume();
      return full;
    }
    if (this.#filled === this.#taken || !(this.end || isLate)) return null;
    const rest = this.#filling.subarray(this.#taken, this.#filled);
    this.#taken = this.#filled;
    // While more is expected the kernel writes on behind it, so it cannot be given back by whoever reads.
    return this.end ? rest : Buffer.from(rest);
  }
}

/** RFC 9112; null: it is none, or one that says more than is understood here. */
function parseHead(text: string): Head | null {
  const [first = '', ...lines] = text.split('\r\n');
  const status = Number(/^HTTP\/1\.1 ([2-5]\d\d)( |$)/.exec(first)?.[1]);
  if (!status) return null;
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const [, name = '', value = ''] = /^([!#$%&'*+.^`|~\w-]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
    const key = name.toLowerCase();
    if (key === '' || (key === 'content-length' && headers[key] !== undefined)) return null;
    headers[key] = headers[key] === undefined ? value : `${headers[key]}, ${value}`;
  }
  return { status, headers };
}

/** Bytes of the body; null: that is not known. */
function lengthOf({ headers }: Head): number | null {
  const length = headers['content-length'];
  if (headers['transfer-encoding'] !== undefined || typeof length !== 'string') return null;
  return /^\d{1,15}$/.test(length) ? Number(length) : null;
}

function textOf(origin: URL, { path, headers }: RawRequest): string {
  const lines = [`GET ${path} HTTP/1.1`];
  for (let i = 0; i < headers.length; i += 2) lines.push(`${headers[i]}: ${headers[i + 1]}`);
  if (!headers.some((name, i) => i % 2 === 0 && name.toLowerCase() === 'host')) lines.push(`host: ${origin.host}`);
  lines.push('connection: close');
  if (lines.some((line) => /[\r\n\0]/.test(line)) || /\s/.test(path))
    throw new Error('a request of more than one line');
  return `${lines.join('\r\n')}\r\n\r\n`;
}

function coded(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
