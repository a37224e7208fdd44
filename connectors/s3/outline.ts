import { PIECE_BYTES, sandwichOf } from '../http/pieces.ts';
import { type ListedObject, type ListingFrame, timeOf, walkListing } from './scan.ts';

/** A page of which the objects are not taken apart, but for their keys. */
export interface OutlinedListing extends ListingFrame {
  /** As they stand in the text. */
  readonly keys: readonly string[];
  readonly pieces: readonly ObjectsPiece[];
}

/** Objects that follow each other, in a text that has nothing else. */
interface ObjectsPiece {
  readonly text: string;
  /** Which of the page's objects is its first. */
  readonly first: number;
  /** Where each object begins, and where the last one ends. */
  readonly places: readonly number[];
}

const TEXT = '[^<&\\r\\0]*';
const field = (name: string, text = TEXT) => `<${name}>${text}</${name}>`;

/** An object in the one form that S3 and most that speak like it write; of all that is read, or of the key alone. */
const objectWith = (read: (text: string) => string) =>
  new RegExp(
    [
      `<Contents><Key>(${TEXT})</Key>`,
      field('LastModified', read(TEXT)),
      field('ETag', `${read('&quot;')}?${read(TEXT)}${read('&quot;')}?`),
      `(?:${field('ChecksumAlgorithm')})*`,
      `(?:${field('ChecksumType')})?`,
      field('Size', read('\\d{1,15}')),
      `(?:${field('StorageClass', read(TEXT))})?`,
      '</Contents>',
    ].join(''),
    'y',
  );
const OBJECT = objectWith((text) => `(?:${text})`);
const WHOLE_OBJECT = objectWith((text) => `(${text})`);

const OBJECT_BEGIN = '<Contents>';
const OBJECT_END = '</Contents>';

/** Reads a page in which every object has the usual form, and all follow each other; null: one has another, or there is something unknown. */
export function outlineListing(body: Buffer, pieceBytes = PIECE_BYTES): OutlinedListing | null {
  const from = body.indexOf(OBJECT_BEGIN);
  const to = body.lastIndexOf(OBJECT_END);
  if (from < 0 || to < from) return null;
  const page = sandwichOf(body, from, to + OBJECT_END.length, OBJECT_END, pieceBytes);
  // One is left, for its place: in another element, objects are none.
  let isAtPlace = false;
  const frame = walkListing(page.head + OBJECT_BEGIN + page.tail, (at) => {
    if (at !== page.head.length) return -1;
    isAtPlace = true;
    return at + OBJECT_BEGIN.length;
  });
  if (!frame || !isAtPlace) return null;
  const keys: string[] = [];
  const pieces: ObjectsPiece[] = [];
  for (const text of page.pieces) {
    const first = keys.length;
    const places = placesIn(text, keys);
    if (!places) return null;
    pieces.push({ text, first, places });
  }
  return { ...frame, keys, pieces };
}

function placesIn(text: string, keys: string[]): number[] | null {
  const places = [0];
  let end = 0;
  OBJECT.lastIndex = 0;
  for (let found = OBJECT.exec(text); found; found = OBJECT.exec(text)) {
    keys.push(found[1] as string);
    end = OBJECT.lastIndex;
    places.push(end);
  }
  return end === text.length ? places : null;
}

/** How the objects from one place to another (exclusive) stand in the page. */
export function wordsIn(listing: OutlinedListing, from: number, to: number): string {
  return parts(listing, from, to, ({ text, places }, begin, end) => text.slice(places[begin], places[end])).join('');
}

/** Takes the objects from one place to another (exclusive) apart. What is read keeps their text alive, and not that of the whole page. */
export function objectsIn(listing: OutlinedListing, from: number, to: number): readonly ListedObject[] {
  return parts(listing, from, to, objectsOf).flat();
}

/** What there is of them in each piece. */
function parts<T>(
  { pieces }: OutlinedListing,
  from: number,
  to: number,
  part: (piece: ObjectsPiece, begin: number, end: number) => T,
): T[] {
  const all: T[] = [];
  for (const piece of pieces) {
    const { first, places } = piece;
    const begin = Math.max(from - first, 0);
    const end = Math.min(to - first, places.length - 1);
    if (begin < end) all.push(part(piece, begin, end));
  }
  return all;
}

function objectsOf({ text, places }: ObjectsPiece, from: number, to: number): readonly ListedObject[] {
  const begin = places[from] as number;
  const isWhole = to - from === places.length - 1;
  const own = isWhole ? text : Buffer.from(text.slice(begin, places[to])).toString();
  const objects: ListedObject[] = [];
  for (let i = from; i < to; i++) {
    WHOLE_OBJECT.lastIndex = (places[i] as number) - begin;
    const found = WHOLE_OBJECT.exec(own);
    if (!found || WHOLE_OBJECT.lastIndex !== (places[i + 1] as number) - begin)
      throw new Error('an outline is not its listing');
    const [, key = '', modified, quote, etag, unquote, size, storageClass] = found;
    objects.push({
      key,
      size: Number(size),
      etag: `${quote ? '"' : ''}${etag}${unquote ? '"' : ''}`,
      modifiedAt: timeOf(modified),
      storageClass,
    });
  }
  return objects;
}
