import { connect, type LookupFunction, type Socket } from 'node:net';
import { connect as connectSecurely } from 'node:tls';
import { ChunkedBody, type Framing, framingOf, parseHead } from './framing.ts';
import { type Asked, coded, type Flow, type Head } from './messages.ts';

/** Of heads, and of bodies that say nothing of their length; used again for every answer. */
const OWN_BYTES = 64 * 1024;
export const CONNECT_TIMEOUT_MS = 10_000;
/** An idle connection is let go before most servers do. */
const IDLE_MS = 4000;

/** Who has the lanes to one origin. */
export interface LaneOwner {
  /** The lane has nothing to do. */
  idle(lane: Lane): void;
  closed(lane: Lane): void;
  /** The connection ended before the answer began, as its server may end one that nobody used for a while. */
  askAgain(asked: Asked): void;
  /** Its answer is for others to ask for, who know more of HTTP. */
  askElsewhere(asked: Asked): void;
}

const NOTHING = Buffer.alloc(0);

/** One request and what has come of its answer. One object does for all who are to be told of something: closures cost as much as the rest. */
class Exchange implements Flow {
  readonly asked: Asked;
  /** Whether it is asked again when the connection ends before the answer has begun. */
  readonly isOnUsed: boolean;
  /** Of the head what has come, until it is whole. */
  head: Buffer | null = NOTHING;
  framing: Framing = 0;
  chunks: ChunkedBody | null = null;
  readonly #lane: Lane;

  constructor(lane: Lane, asked: Asked, isOnUsed: boolean) {
    this.#lane = lane;
    this.asked = asked;
    this.isOnUsed = isOnUsed;
    asked.signal.addEventListener('abort', this);
  }

  /** The signal aborts. */
  handleEvent(): void {
    this.#lane.destroy(this.asked.signal.reason);
  }

  release(): void {
    this.asked.signal.removeEventListener('abort', this);
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
  #isConnected = false;
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
      this.#isConnected = true;
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
    if (this.#isConnected) this.#socket.setTimeout(0);
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
    const isStated = exchange && !exchange.head && !exchange.chunks;
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
    const came = this.#own.subarray(0, bytes);
    return exchange.head ? this.#readHead(exchange, exchange.head, came) : this.#readBody(exchange, came);
  }

  #readHead(exchange: Exchange, before: Buffer, came: Buffer): boolean {
    const bytes = before.length === 0 ? came : Buffer.concat([before, came]);
    const end = bytes.indexOf('\r\n\r\n');
    if (end < 0 && bytes.length < OWN_BYTES) {
      exchange.head = Buffer.from(bytes);
      return true;
    }
    const head = end < 0 ? null : parseHead(bytes.toString('latin1', 0, end));
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
    return this.#exchange === exchange && this.#readBody(exchange, bytes.subarray(end + 4));
  }

  #readBody(exchange: Exchange, came: Buffer): boolean {
    const { chunks } = exchange;
    const { receiver } = exchange.asked;
    if (!chunks) return this.#counted(exchange, came.length, came);
    let more = true;
    try {
      const used = chunks.read(came, (data) => {
        more = receiver.take(data, true) && more;
      });
      if (this.#exchange !== exchange) return false;
      if (!chunks.isDone) return more;
      return this.#end(used === came.length);
    } catch (error) {
      this.destroy(error);
      return false;
    }
  }

  /** Bytes of a body of stated length: those that `came`, or null where they are in their place already. */
  #counted(exchange: Exchange, bytes: number, came: Buffer | null): boolean {
    const { receiver } = exchange.asked;
    const left = exchange.framing as number;
    const wanted = Math.min(bytes, left);
    exchange.framing = left - wanted;
    const more = wanted === 0 || (came ? receiver.take(came.subarray(0, wanted), true) : receiver.filled(wanted));
    if (this.#exchange !== exchange) return false;
    return exchange.framing === 0 ? this.#end(bytes === wanted) : more;
  }

  /** The answer is whole. A connection that brought more than it said is not used again. */
  #end(isClean: boolean): boolean {
    const exchange = this.#exchange as Exchange;
    this.#exchange = null;
    exchange.release();
    if (isClean && this.#idleMs > 0) {
      this.#socket.setTimeout(this.#idleMs);
      this.#socket.unref();
    } else this.destroy();
    exchange.asked.receiver.end();
    if (!this.#isOver) this.#owner.idle(this);
    return !this.#isOver;
  }

  #fail(error: unknown): void {
    const exchange = this.#exchange;
    this.#exchange = null;
    if (!exchange) return;
    exchange.release();
    const code = (error as { code?: string }).code;
    const { asked, isOnUsed, head } = exchange;
    if (isOnUsed && head && (code === 'ECONNRESET' || code === 'EPIPE')) this.#owner.askAgain(asked);
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
