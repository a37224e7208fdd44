import { hash } from 'node:crypto';
import type { Entry } from '../contract/connector.ts';
import type { IndexChunk, ListingPart, ListingStore } from '../contract/run.ts';
import { compareKeys } from './key-order.ts';

/** Stored chunks read at once. */
const PAGE = 1000;

/** Entries of a listing between two boundaries, in order. */
export interface Stretch {
  /** Where it begins: with this key; or empty, with the first. Null: behind the part before, in the middle of a chunk. */
  readonly from: string | null;
  /** The key with which the next one begins. Null: it goes to the end of the part. */
  readonly before: string | null;
  readonly entries: readonly Entry[];
}

/**
 * Cuts a listing into stretches at boundaries that the keys themselves say, so that an object which comes or goes disturbs one
 * stretch and no other.
 */
export class Chunker {
  readonly #average: number;
  readonly #most: number;
  #from: string | null;
  #entries: Entry[] = [];

  constructor(part: ListingPart, average: number) {
    this.#average = average;
    this.#most = average * 8;
    // What was dealt with before an interruption is not known to be a whole chunk.
    this.#from = part.after === null && part.through === null ? '' : null;
  }

  /** Takes the entries of a page, and returns the stretches that end on it. */
  *take(entries: readonly Entry[]): Iterable<Stretch> {
    for (const entry of entries) {
      const full = this.#entries.length >= this.#most;
      if ((full || isBoundary(entry.key, this.#average)) && this.#entries.length > 0) {
        yield { from: this.#from, before: entry.key, entries: this.#entries };
        this.#from = entry.key;
        this.#entries = [];
      } else if (this.#from === null && this.#entries.length === 0 && isBoundary(entry.key, this.#average)) {
        // It begins with a boundary after all; what may lie before it in the index is nobody's chunk.
        yield { from: null, before: entry.key, entries: [] };
        this.#from = entry.key;
      }
      this.#entries.push(entry);
    }
  }

  /** What is left when the part has ended. */
  end(): Stretch {
    return { from: this.#from, before: null, entries: this.#entries };
  }

  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }
}

/** FNV-1a with a last mixing; one key in `average` is a boundary. */
function isBoundary(key: string, average: number): boolean {
  let value = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) value = Math.imul(value ^ key.charCodeAt(i), 0x01000193);
  value ^= value >>> 15;
  value = Math.imul(value, 0x2c1b3c6d);
  value ^= value >>> 12;
  return (value >>> 0) % average === 0;
}

/**
 * Over what makes a listing of a stretch the same as an earlier one. Where it ends is part of that: when the key that ended it goes, so does
 * the boundary, and what lay behind belongs to this stretch although no chunk may be stored of it.
 */
export function hashOf({ entries, before }: Stretch): string {
  let text = `${before ?? ''}\n`;
  for (const { key, path, version, size } of entries) {
    text += `${key}\0${version}\0${size}\0${key.endsWith(path) ? path.length : path}\n`;
  }
  return hash('sha256', text);
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
