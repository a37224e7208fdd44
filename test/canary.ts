import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';

/** All the forms in which a value could hide in bytes. */
export function encodingsOf(value: string): Map<string, Buffer> {
  const bytes = Buffer.from(value);
  const forms = new Map<string, Buffer>([
    ['plain', bytes],
    ['hex', Buffer.from(bytes.toString('hex'))],
    ['HEX', Buffer.from(bytes.toString('hex').toUpperCase())],
    ['url', Buffer.from(encodeURIComponent(value))],
    ['json', Buffer.from(JSON.stringify(value).slice(1, -1))],
    ['utf16', Buffer.from(value, 'utf16le')],
  ]);
  // In base64 a value inside a text looks different at each of three offsets; the ends depend on the neighbours.
  for (const offset of [0, 1, 2]) {
    const shifted = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64');
    const inner = shifted.slice(offset === 0 ? 0 : 4, Math.floor(((offset + bytes.length) * 8) / 6) - 1);
    forms.set(`base64+${offset}`, Buffer.from(inner));
    forms.set(`base64url+${offset}`, Buffer.from(inner.replaceAll('+', '-').replaceAll('/', '_')));
  }
  return forms;
}

const START = 4;
const FILTER_BITS = 16;
const FACTOR = 0x9e3779b1;

interface Form {
  readonly said: string;
  readonly form: Buffer;
}

/** All forms of some values, for one pass over the bytes however many they are. */
class Forms {
  /** By their first four bytes. */
  readonly #by = new Map<number, Form[]>();
  readonly #short: Form[] = [];
  readonly #filter = new Uint8Array(1 << FILTER_BITS);

  constructor(values: readonly string[]) {
    for (const [index, value] of values.entries()) {
      for (const [name, form] of encodingsOf(value)) {
        const said = `value ${index} as ${name}`;
        if (form.length < START) {
          this.#short.push({ said, form });
          continue;
        }
        const start = form.readInt32LE(0);
        this.#by.set(start, [...(this.#by.get(start) ?? []), { said, form }]);
        this.#filter[Math.imul(start, FACTOR) >>> (32 - FILTER_BITS)] = 1;
      }
    }
  }

  search(bytes: Buffer): string[] {
    const hits = new Set(this.#short.flatMap(({ said, form }) => (bytes.includes(form) ? [said] : [])));
    if (bytes.length < START) return [...hits];
    let start = bytes.readInt32LE(0);
    for (let at = 0; ; at++) {
      if (this.#filter[Math.imul(start, FACTOR) >>> (32 - FILTER_BITS)]) {
        for (const { said, form } of this.#by.get(start) ?? [])
          if (bytes.compare(form, 0, form.length, at, Math.min(at + form.length, bytes.length)) === 0) hits.add(said);
      }
      if (at + START >= bytes.length) return [...hits];
      start = (start >>> 8) | ((bytes[at + START] ?? 0) << 24);
    }
  }
}

export function findIn(haystack: Buffer, values: readonly string[]): string[] {
  return new Forms(values).search(haystack);
}

const PIECE = 1024 * 1024;
/** Of a piece, to be searched again with the next. */
const TAIL = 8192;

/** Searches every file below a folder, also across the borders of pieces. */
export async function findInFiles(folder: string, values: readonly string[]): Promise<string[]> {
  const hits = new Set<string>();
  const forms = new Forms(values);
  const window = Buffer.alloc(TAIL + PIECE);
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    await using file = await open(path);
    for (let kept = 0; ; ) {
      const { bytesRead } = await file.read(window, kept, PIECE);
      if (bytesRead === 0) break;
      const end = kept + bytesRead;
      for (const hit of forms.search(window.subarray(0, end))) hits.add(`${path}: ${hit}`);
      kept = Math.min(TAIL, end);
      window.copy(window, 0, end - kept, end);
    }
  }
  return [...hits];
}

/** What any printer could show of a value: JSON, inspect, and every own property of every object in it. */
export function everything(value: unknown, seen = new Set<unknown>()): string {
  if (typeof value === 'string') return value;
  if (value === null || typeof value !== 'object') return String(value);
  if (seen.has(value)) return '';
  seen.add(value);
  const parts = [inspect(value, { depth: 20, showHidden: true }), tryJson(value)];
  for (const name of Reflect.ownKeys(value)) parts.push(String(name), everything(Reflect.get(value, name), seen));
  return parts.join('\n');
}

function tryJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? '';
  } catch {
    return '';
  }
}
