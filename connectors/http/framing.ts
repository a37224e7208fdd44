import { coded, type Head, type RawRequest } from './messages.ts';

/** How the end of a body is known (RFC 9112, section 6.3): after so many bytes, or because it says so itself. */
export type Framing = number | 'chunked';

/** A GET of one line, whatever stands in the key. */
export function textOf(origin: URL, { path, headers }: RawRequest): string {
  assertOneRequest(path, headers);
  let text = `GET ${path} HTTP/1.1`;
  let own = `\r\nhost: ${origin.host}`;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    const value = headers[i + 1] as string;
    if (/^host$/i.test(name)) own = '';
    text += `\r\n${name}: ${value}`;
  }
  return `${text}${own}\r\n\r\n`;
}

/** Throws when a path, or a word of a header, would be more than its place in a request. */
export function assertOneRequest(path: string, words: readonly string[]): void {
  if (BLANKS.test(path) || words.some((word) => BREAKS.test(word))) throw new Error('a request of more than one line');
}

const BLANKS = /[\s\0]/;
const BREAKS = /[\r\n\0]/;

/** Null: it is none of HTTP/1.1, or one that says more than is understood here. */
export function parseHead(text: string): Head | null {
  const begin = beginOf(text);
  if (!begin) return null;
  const { status } = begin;
  const headers: Record<string, string> = {};
  for (let at = begin.written.length, line = 0; at < text.length; line++) {
    const known = lines[line];
    if (known?.whole && text.startsWith(known.whole, at) && headers[known.key] === undefined) {
      headers[known.key] = known.value;
      known.changes = 0;
      at += known.whole.length;
      continue;
    }
    const behind = text.indexOf('\r\n', at);
    const end = behind < 0 ? text.length : behind;
    const { key, colon } = nameIn(text, at, line);
    if (key === '' || colon > end) return null;
    const said = text.slice(colon + 1, end);
    const before = headers[key];
    if ((before !== undefined && ONCE.has(key)) || BREAK.test(said)) return null;
    const value = said.trim();
    headers[key] = before === undefined ? value : `${before}, ${value}`;
    if (behind >= 0) lines[line]?.heard(text.slice(at, end + 2), value);
    at = end + 2;
  }
  return { status, headers };
}

const BREAK = /[\r\n]/;
/** The first line with its end. */
interface Begin {
  readonly written: string;
  readonly status: number;
}

let usual: Begin | null = null;

function beginOf(text: string): Begin | null {
  if (usual && text.startsWith(usual.written)) return usual;
  const found = /^HTTP\/1\.1 ([2-5]\d\d)(?: [^\r\n]*)?(?:\r\n|$)/.exec(text);
  if (!found) return null;
  const begin = { written: copyOf(found[0]), status: Number(found[1]) };
  if (begin.written.endsWith('\n')) usual = begin;
  return begin;
}

/** A value that was another one so often in a row is not looked at any more. */
const MOST_CHANGES = 8;

/** What stood in a line of the heads before: servers write the same few names again and again in the same order, and many of them with the same value. */
class Line {
  /** Up to its colon. */
  readonly written: string;
  readonly key: string;
  /** All of it, while it is likely to come again; and its value. */
  whole = '';
  value = '';
  /** How often in a row it was another one. */
  changes = 0;

  constructor(written: string, key: string) {
    this.written = written;
    this.key = key;
  }

  /** Another one than before. */
  heard(whole: string, value: string): void {
    if (this.changes > MOST_CHANGES) return;
    this.changes++;
    const isLikely = this.changes <= MOST_CHANGES;
    // Copies: what is cut out of a text keeps all of it.
    this.whole = isLikely ? copyOf(whole) : '';
    this.value = isLikely ? copyOf(value) : '';
  }
}

function copyOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}

const LINES_KEPT = 100;
const lines: Line[] = [];

/** A header's name in lower case, and where its colon is; an empty name: it is none. */
function nameIn(text: string, at: number, line: number): { readonly key: string; readonly colon: number } {
  const known = lines[line];
  if (known && text.startsWith(known.written, at)) return { key: known.key, colon: at + known.written.length - 1 };
  const colon = text.indexOf(':', at);
  const name = text.slice(at, colon);
  if (colon < 0 || !/^[!#$%&'*+.^`|~\w-]+$/.test(name)) return { key: '', colon };
  const key = name.toLowerCase();
  if (line < LINES_KEPT) lines[line] = new Line(copyOf(`${name}:`), key);
  return { key, colon };
}

const ONCE: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding']);

/** Null: its end is not known before the connection's. */
export function framingOf({ status, headers }: Head): Framing | null {
  const { 'content-length': length, 'transfer-encoding': encoding } = headers;
  if (status === 204 || status === 304) return 0;
  if (encoding !== undefined) return encoding === 'chunked' && length === undefined ? 'chunked' : null;
  return typeof length === 'string' && /^\d{1,15}$/.test(length) ? Number(length) : null;
}

const MAX_LINE = 4096;
const CR = 13;
const LF = 10;

/** Takes the chunks of a body apart (RFC 9112, section 7.1). Extensions and trailers are passed over. */
export class ChunkedBody {
  #state: 'size' | 'data' | 'behind' | 'trailer' | 'done' = 'size';
  #line = '';
  #left = 0;

  get isDone(): boolean {
    return this.#state === 'done';
  }

  /** Hands the body's own bytes on, and says how many of `bytes` it used; throws when they are no such body. */
  read(bytes: Buffer, hand: (data: Buffer) => void): number {
    let at = 0;
    while (at < bytes.length && this.#state !== 'done') {
      if (this.#state === 'data') {
        const end = Math.min(bytes.length, at + this.#left);
        hand(bytes.subarray(at, end));
        this.#left -= end - at;
        at = end;
        if (this.#left === 0) this.#state = 'behind';
        continue;
      }
      const end = bytes.indexOf(LF, at);
      this.#line += bytes.toString('latin1', at, end < 0 ? bytes.length : end);
      if (this.#line.length > MAX_LINE) throw malformed();
      at = end < 0 ? bytes.length : end + 1;
      if (end >= 0) this.#endLine();
    }
    return at;
  }

  #endLine(): void {
    const line = this.#line;
    this.#line = '';
    if (line.charCodeAt(line.length - 1) !== CR) throw malformed();
    const said = line.slice(0, -1);
    if (this.#state === 'behind') {
      if (said !== '') throw malformed();
      this.#state = 'size';
    } else if (this.#state === 'trailer') {
      if (said === '') this.#state = 'done';
    } else {
      const size = /^([0-9a-f]{1,12})[ \t]*(?:;.*)?$/i.exec(said)?.[1];
      if (size === undefined) throw malformed();
      this.#left = Number.parseInt(size, 16);
      this.#state = this.#left === 0 ? 'trailer' : 'data';
    }
  }
}

function malformed(): Error {
  return coded('EPROTO', 'The answer is not HTTP as it should be.');
}
