import { createHash } from 'node:crypto';
import type { Entry, Outline } from '../contract/connector.ts';
import type { IndexChunk, ListingPart, ListingStore } from '../contract/run.ts';
import { compareKeys } from './key-order.ts';
import { entriesOf, kept, lastKeyOf, type Piece } from './piece.ts';

/** Stored chunks read at once. */
const PAGE = 1000;

/** Entries of a listing between two boundaries, in order. */
export class Stretch {
  /** Where it begins: with this key; or empty, with the first. Null: behind the part before, in the middle of a chunk. */
  readonly from: string | null;
  /** The key with which the next one begins. Null: it goes to the end of the part. */
  readonly before: string | null;
  readonly #pieces: readonly Piece[];

  constructor(from: string | null, before: string | null, pieces: readonly Piece[]) {
    this.from = from;
    this.before = before;
    this.#pieces = pieces;
  }

  get length(): number {
    return this.#pieces.reduce((sum, { from, to }) => sum + to - from, 0);
  }

  get lastKey(): string | null {
    const last = this.#pieces.at(-1);
    return last ? lastKeyOf(last) : null;
  }

  entries(): readonly Entry[] {
    return this.#pieces.flatMap(entriesOf);
  }

  /**
   * Over what makes a listing of a stretch the same as an earlier one. Where it ends is part of that: when the key that ended it goes, so does
   * the boundary, and what lay behind belongs to this stretch although no chunk may be stored of it.
   */
  hash(): string {
    const hash = createHash('sha256').update(`${this.#pieces[0]?.outline.form}\n${this.before ?? ''}\n`);
    for (const { outline, from, to } of this.#pieces) hash.update(outline.words(from, to));
    return hash.digest('hex');
  }
}

/**
 * Cuts a listing into stretches at boundaries that the keys themselves say, so that an object which comes or goes disturbs one
 * stretch and no other.
 */
export class Chunker {
  readonly #average: number;
  readonly #most: number;
  #from: string | null;
  #pieces: Piece[] = [];
  /** In these pieces. */
  #held = 0;

  constructor(part: ListingPart, average: number) {
    this.#average = average;
    this.#most = average * 8;
    // What was dealt with before an interruption is not known to be a whole chunk.
    this.#from = part.after === null && part.through === null ? '' : null;
  }

  /** Takes the entries of a page, and returns the stretches that end on it. */
  *take({ outline, from, to }: Piece): Iterable<Stretch> {
    let begun = from;
    for (let i = from; i < to; i++) {
      const key = outline.keys[i] as string;
      const length = this.#held + i - begun;
      if (length < this.#most && !isBoundary(key, this.#average)) continue;
      if (length > 0) {
        this.#hold(outline, begun, i);
        begun = i;
        yield this.#cut(key);
      } else if (this.#from === null) {
        // It begins with a boundary after all; what may lie before it in the index is nobody's chunk.
        yield this.#cut(key);
      }
    }
    this.#hold(outline, begun, to);
  }

  /** What is left when the part has ended. */
  end(): Stretch {
    return new Stretch(this.#from, null, this.#pieces);
  }

  get isEmpty(): boolean {
    return this.#held === 0;
  }

  #hold(outline: Outline, from: number, to: number): void {
    if (from === to) return;
    this.#pieces.push({ outline, from, to });
    this.#held += to - from;
  }

  #cut(key: string): Stretch {
    const before = kept(key);
    const stretch = new Stretch(this.#from, before, this.#pieces);
    this.#from = before;
    this.#pieces = [];
    this.#held = 0;
    return stretch;
  }
}

/** FNV-1a over four characters at once, with a last mixing; one key in `average` is a boundary. */
function isBoundary(key: string, average: number): boolean {
  let value = 0x811c9dc5;
  let i = 0;
  for (const fours = key.length - 3; i < fours; i += 4) {
    const low = key.charCodeAt(i) ^ (key.charCodeAt(i + 1) << 8);
    const high = (key.charCodeAt(i + 2) << 16) ^ (key.charCodeAt(i + 3) << 24);
    value = Math.imul(value ^ low ^ high, 0x01000193);
    value ^= value >>> 15;
  }
  for (; i < key.length; i++) value = Math.imul(value ^ key.charCodeAt(i), 0x01000193);
  value ^= value >>> 15;
  value = Math.imul(value, 0x2c1b3c6d);
  value ^= value >>> 12;
  return (value >>> 0) % average === 0;
}

/** The stored chunks of a source, for one who asks for them in their order. */
export class StoredChunks {
  readonly #store: Pick<ListingStore, 'chunks'>;
  #ahead: readonly IndexChunk[] = [];
  #at = 0;
  #from: string;
  #done = false;

  constructor(store: Pick<ListingStore, 'chunks'>, from: string) {
    this.#store = store;
    this.#from = from;
  }

  /** Those that begin before this key (null: all that are left); each is given once. */
  async before(key: string | null): Promise<IndexChunk[]> {
    const found: IndexChunk[] = [];
    for (;;) {
      for (; this.#at < this.#ahead.length; this.#at++) {
        const chunk = this.#ahead[this.#at] as IndexChunk;
        if (key !== null && compareKeys(chunk.from, key) >= 0) return found;
        found.push(chunk);
      }
      if (this.#done) return found;
      this.#ahead = await this.#store.chunks(this.#from, PAGE);
      this.#at = 0;
      this.#done = this.#ahead.length < PAGE;
      // The smallest key that is larger.
      this.#from = `${this.#ahead.at(-1)?.from ?? ''}\u0001`;
    }
  }
}
