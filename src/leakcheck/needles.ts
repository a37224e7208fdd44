/** So many characters in a row of a value, or of a form of it, are a leak. */
export const WINDOW = 12;

/** What is searched for, without itself. */
export interface Label {
  readonly secretId: string;
  readonly version: string;
  /** Where in the credential it stands. */
  readonly field: string;
}

export interface Hit extends Label {
  /** How it was written there. */
  readonly form: string;
}

interface Form {
  readonly label: Label;
  readonly form: string;
  readonly bytes: Buffer;
}

const FILTER_BITS = 22;
const FACTOR = 0x01000193;

/** All the ways in which a value could be written down. */
function formsOf(value: string): [form: string, bytes: Buffer][] {
  const bytes = Buffer.from(value);
  const forms: [string, string | Buffer][] = [
    ['plain', bytes],
    ['hex', bytes.toString('hex')],
    ['HEX', bytes.toString('hex').toUpperCase()],
    ['URL-encoded', encodeURIComponent(value)],
    ['JSON', JSON.stringify(value).slice(1, -1)],
    ['UTF-16', Buffer.from(value, 'utf16le')],
  ];
  // Inside a longer text base64 looks different at each of three offsets; what depends on its neighbours is left out.
  for (const offset of [0, 1, 2]) {
    const shifted = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64');
    const inner = shifted.slice(offset === 0 ? 0 : 4, Math.floor(((offset + bytes.length) * 8) / 6));
    forms.push(['base64', inner], ['base64url', inner.replaceAll('+', '-').replaceAll('/', '_')]);
  }
  const seen = new Set<string>();
  return forms.flatMap(([form, text]): [string, Buffer][] => {
    const found = Buffer.from(text);
    const key = found.toString('latin1');
    if (seen.has(key)) return [];
    seen.add(key);
    return [[form, found]];
  });
}

/**
 * Finds any twelve bytes of any form of any value in one pass, however many values there are: windows by their rolling hash, and what has
 * the same hash compared byte by byte.
 */
export class Needles {
  readonly #forms: Form[] = [];
  /** By hash: which forms, at which place. */
  readonly #windows = new Map<number, { readonly form: number; readonly at: number }[]>();
  readonly #filter = new Uint8Array(1 << (FILTER_BITS - 3));
  /** What the byte that leaves the window counts. */
  readonly #leaving: number;

  constructor() {
    let power = 1;
    for (let i = 1; i < WINDOW; i++) power = Math.imul(power, FACTOR);
    this.#leaving = power;
  }

  /** Values shorter than a window are not searched for. Returns whether it will be. */
  add(value: string, label: Label): boolean {
    if (value.length < WINDOW) return false;
    for (const [form, bytes] of formsOf(value)) {
      if (bytes.length < WINDOW) continue;
      const index = this.#forms.push({ label, form, bytes }) - 1;
      for (let at = 0; at + WINDOW <= bytes.length; at++) {
        const hash = hashAt(bytes, at);
        const there = this.#windows.get(hash);
        if (there) there.push({ form: index, at });
        else this.#windows.set(hash, [{ form: index, at }]);
        const bit = hash >>> (32 - FILTER_BITS);
        this.#filter[bit >>> 3] = (this.#filter[bit >>> 3] ?? 0) | (1 << (bit & 7));
      }
    }
    return true;
  }

  /** The values that have a part of them in the text, each once for each form. */
  search(text: Buffer): Hit[] {
    if (text.length < WINDOW || this.#windows.size === 0) return [];
    const found = new Map<number, Hit>();
    let hash = hashAt(text, 0);
    for (let at = 0; ; at++) {
      const bit = hash >>> (32 - FILTER_BITS);
      if (((this.#filter[bit >>> 3] ?? 0) >>> (bit & 7)) & 1) this.#compare(text, at, hash, found);
      if (at + WINDOW >= text.length) return [...found.values()];
      hash = Math.imul((hash - Math.imul(text[at] ?? 0, this.#leaving)) | 0, FACTOR) + (text[at + WINDOW] ?? 0);
      hash |= 0;
    }
  }

  #compare(text: Buffer, at: number, hash: number, found: Map<number, Hit>): void {
    for (const { form: index, at: place } of this.#windows.get(hash | 0) ?? []) {
      if (found.has(index)) continue;
      const { label, form, bytes } = this.#forms[index] as Form;
      if (bytes.compare(text, at, at + WINDOW, place, place + WINDOW) === 0) found.set(index, { ...label, form });
    }
  }
}

function hashAt(bytes: Buffer, at: number): number {
  let hash = 0;
  for (let i = at; i < at + WINDOW; i++) hash = (Math.imul(hash, FACTOR) + (bytes[i] ?? 0)) | 0;
  return hash;
}
