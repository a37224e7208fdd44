import { connect, type LookupFunction, type Socket } from 'node:net';
import { connect as connectSecurely } from 'node:tls';
import { type Abortable, forget, watch } from './aborts.ts';
import { ChunkedBody, type Framing, framingOf, parseHead } from './framing.ts';
import { type Asked, coded, type Flow, type Head, type Receiver } from './messages.ts';

/** Of heads, and of bodies that say nothing of their length; used again for every answer. */
const OWN_BYTES = 64 * 1024;
/** So many bytes longer than the one before may a head be; what follows it need not become a text. */
const HEAD_MARGIN = 32;
const HEAD_END = '\r\n\r\n';
export const CONNECT_TIMEOUT_MS = 10_000;
/** An idle connection is let go before most servers do. */
const IDLE_MS = 4000;

/** Who has the lanes to one origin. */
export interface LaneOwner {
  /** The lane has nothing to do, and may be used again for so many milliseconds. */
  idle(lane: Lane, forMs: number): void;
  closed(lane: Lane): void;
  /** The connection ended before the answer began, as its server may end one that nobody used for a while. */
  askAgain(asked: Asked): void;
  /** Its answer is for others to ask for, who know more of HTTP. */
  askElsewhere(asked: Asked): void;
}

/** One request and what has come of its answer. One object does for all who are to be told of something: closures cost as much as the rest. */
class Exchange implements Flow, Abortable {
  readonly asked: Asked;
  /** Whether it is asked again when the connection ends before the answer has begun. */
  readonly isOnUsed: boolean;
  /** Of the head what has come, until it is whole. */
  head: string | null = '';
  framing: Framing = 0;
  chunks: ChunkedBody | null = null;
  readonly #lane: Lane;

  constructor(lane: Lane, asked: Asked, isOnUsed: boolean) {
    this.#lane = lane;
    this.asked = asked;
    this.isOnUsed = isOnUsed;
    watch(asked.signal, this);
  }

  aborted(reason: unknown): void {
    this.#lane.destroy(reason);
  }

  release(): void {
    forget(this.asked.signal, this);
  }

  resume(): void {
    this.#lane.resume(this);
  }

  stop(reason: unknown): void {
    this.#lane.stop(this, reason);
  }
}

/**
 * A connection on which GETs follow each other, and whose bytes the kernel writes where they belong (`onread`): a body of stated length
 * straight into the receiver's memory, everything else into a buffer that is used again. What a client does that has new memory for each
 * 64 KiB (clearing it, an object, the collector) costs more than hashing and writing what comes. Knows HTTP/1.1 with a stated length or
 * chunks; any other answer is to be asked for elsewhere.
 */
export class Lane {
  readonly #socket: Socket;
  readonly #own = Buffer.allocUnsafeSlow(OWN_BYTES);
  readonly #owner: LaneOwner;
  #target: Buffer = this.#own;
  #exchange: Exchange | null = null;
  #idleMs = IDLE_MS;
  #headBytes = 1024;
  #isOver = false;

  constructor(origin: URL, lookup: LookupFunction | undefined, owner: LaneOwner) {
    this.#owner = owner;
    const socket = this.#connect(origin, lookup);
    this.#socket = socket;
    let failure: Error | null = null;
    socket.setNoDelay(true);
    socket.setTimeout(CONNECT_TIMEOUT_MS);
    socket.on('timeout', () => socket.destroy(coded('ETIMEDOUT', 'There is no connection.')));
    socket.once(origin.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
      socket.setTimeout(0);
    });
    socket.on('error', (error) => {
      failure = error;
    });
    socket.on('end', () => socket.destroy());
    socket.once('close', () => {
      this.#isOver = true;
      owner.closed(this);
      this.#fail(failure ?? coded('ECONNRESET', 'The connection ended too early.'));
    });
  }

  /** Sends a request, whose answer its receiver has. Only when the lane is idle. */
  ask(asked: Asked, isOnUsed: boolean): void {
    this.#exchange = new Exchange(this, asked, isOnUsed);
    this.#socket.ref();
    if (asked.signal.aborted) return this.destroy(asked.signal.reason);
    this.#socket.write(asked.text, 'latin1');
  }

  resume(exchange: Exchange): void {
    if (this.#exchange === exchange) this.#socket.resume();
  }

  stop(exchange: Exchange, reason: unknown): void {
    if (this.#exchange === exchange) this.destroy(reason);
  }

  destroy(reason?: unknown): void {
    this.#isOver = true;
    if (reason !== undefined) this.#fail(reason);
    this.#socket.destroy();
  }

  #connect(origin: URL, lookup: LookupFunction | undefined): Socket {
    const isSecure = origin.protocol === 'https:';
    const host = origin.hostname.replace(/^\[|\]$/g, '');
    const options = {
      host,
      port: Number(origin.port || (isSecure ? 443 : 80)),
      ...(lookup ? { lookup } : {}),
      // The kernel has the place for the next bytes as soon as it has been asked for: right after the last ones were told.
      onread: { buffer: () => this.#place(), callback: (bytes: number) => this.#received(bytes) },
    };
    if (!isSecure) return connect(options);
    const isAddress = /^[\d.]+$|:/.test(host);
    return connectSecurely({ ...options, ...(isAddress ? {} : { servername: host }), ALPNProtocols: ['http/1.1'] });
  }

  /** Where the next bytes go. */
  #place(): Buffer {
    const exchange = this.#exchange;
    const isStated = exchange && exchange.head === null && !exchange.chunks;
    this.#target = (isStated && exchange.asked.receiver.room()) || this.#own;
    return this.#target;
  }

  /** Whether more may come at once. */
  #received(bytes: number): boolean {
    const exchange = this.#exchange;
    if (!exchange || this.#isOver) {
      // Bytes that nobody has asked for.
      this.destroy();
      return false;
    }
    if (this.#target !== this.#own) return this.#counted(exchange, bytes, null);
    return exchange.head === null ? this.#readBody(exchange, 0, bytes) : this.#readHead(exchange, exchange.head, bytes);
  }

  #readHead(exchange: Exchange, before: string, bytes: number): boolean {
    let text = before + this.#own.toString('latin1', 0, Math.min(bytes, this.#headBytes));
    let end = text.indexOf(HEAD_END);
    if (end < 0 && bytes > this.#headBytes) {
      text = before + this.#own.toString('latin1', 0, bytes);
      end = text.indexOf(HEAD_END);
    }
    if (end < 0 && text.length < OWN_BYTES) {
      exchange.head = text;
      return true;
    }
    const head = end < 0 ? null : parseHead(text.slice(0, end));
    this.#headBytes = end + HEAD_END.length + HEAD_MARGIN;
    const framing = head && framingOf(head);
    if (!head || framing === null) {
      exchange.release();
      this.#exchange = null;
      this.destroy();
      this.#owner.askElsewhere(exchange.asked);
      return false;
    }
    exchange.head = null;
    exchange.framing = framing;
    exchange.chunks = framing === 'chunked' ? new ChunkedBody() : null;
    this.#idleMs = idleTimeOf(head);
    exchange.asked.receiver.begin(head, exchange);
    // Who hears how it begins may have had enough.
    return this.#exchange === exchange && this.#readBody(exchange, end + HEAD_END.length - before.length, bytes);
  }

  /** What lies in the lane's own memory, from the one byte up to the other. */
  #readBody(exchange: Exchange, from: number, to: number): boolean {
    const { chunks } = exchange;
    if (!chunks) return this.#counted(exchange, to - from, from);
    const { receiver } = exchange.asked;
    let more = true;
    try {
      const used = chunks.read(this.#own.subarray(from, to), (data) => {
        more = receiver.take(data, true) && more;
      });
      if (this.#exchange !== exchange) return false;
      if (!chunks.isDone) return more;
      return this.#end(used === to - from);
    } catch (error) {
      this.destroy(error);
      return false;
    }
  }

  /** Bytes of a body of stated length, where they lie in the lane's own memory; null: they are in their place already. */
  #counted(exchange: Exchange, bytes: number, from: number | null): boolean {
    const { receiver } = exchange.asked;
    const left = exchange.framing as number;
    const wanted = Math.min(bytes, left);
    exchange.framing = left - wanted;
    const more = wanted === 0 || (from === null ? receiver.filled(wanted) : this.#handOver(receiver, from, wanted));
    if (this.#exchange !== exchange) return false;
    return exchange.framing === 0 ? this.#end(bytes === wanted) : more;
  }

  #handOver(receiver: Receiver, from: number, bytes: number): boolean {
    const room = receiver.room();
    if (!room || room.length < bytes) return receiver.take(this.#own.subarray(from, from + bytes), true);
    this.#own.copy(room, 0, from, from + bytes);
    return receiver.filled(bytes);
  }

  /** The answer is whole. A connection that brought more than it said is not used again. */
  #end(isClean: boolean): boolean {
    const exchange = this.#exchange as Exchange;
    this.#exchange = null;
    exchange.release();
    if (isClean && this.#idleMs > 0) this.#socket.unref();
    else this.destroy();
    exchange.asked.receiver.end();
    if (!this.#isOver) this.#owner.idle(this, this.#idleMs);
    return !this.#isOver;
  }

  #fail(error: unknown): void {
    const exchange = this.#exchange;
    this.#exchange = null;
    if (!exchange) return;
    exchange.release();
    const code = (error as { code?: string }).code;
    const { asked, isOnUsed, head } = exchange;
    if (isOnUsed && head !== null && (code === 'ECONNRESET' || code === 'EPIPE')) this.#owner.askAgain(asked);
    else asked.receiver.fail(error);
  }
}

/** Zero: the server closes it. Headers of one server say the same again and again. */
function idleTimeOf({ headers }: Head): number {
  const connection = String(headers.connection ?? '');
  const keepAlive = String(headers['keep-alive'] ?? '');
  if (said.connection !== connection || said.keepAlive !== keepAlive)
    said = { connection, keepAlive, ms: readIdleTime(connection, keepAlive) };
  return said.ms;
}

let said = { connection: '', keepAlive: '', ms: IDLE_MS };

function readIdleTime(connection: string, keepAlive: string): number {
  if (/\bclose\b/i.test(connection)) return 0;
  const seconds = /\btimeout=(\d{1,6})\b/i.exec(keepAlive)?.[1];
  return seconds === undefined ? IDLE_MS : Math.min(IDLE_MS, Math.max(0, Number(seconds) - 1) * 1000);
}
