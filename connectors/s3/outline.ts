import { type ListedObject, type ListingFrame, timeOf, walkListing } from './scan.ts';

/** A page of which the objects are not taken apart, but for their keys. */
export interface OutlinedListing extends ListingFrame {
  /** As they stand in the text. */
  readonly keys: readonly string[];
  readonly text: string;
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

/** Reads a page in which every object has the usual form; null: one has another, or there is something unknown. */
export function outlineListing(text: string): OutlinedListing | null {
  const keys: string[] = [];
  const places: number[] = [];
  let end = 0;
  const frame = walkListing(text, (from) => {
    // Objects with something between them are not one stretch of text.
    if (keys.length > 0) return -1;
    OBJECT.lastIndex = end = from;
    for (let found = OBJECT.exec(text); found; found = OBJECT.exec(text)) {
      keys.push(found[1] as string);
      places.push(end);
      end = OBJECT.lastIndex;
    }
    return keys.length > 0 ? end : -1;
  });
  return frame && { ...frame, keys, text, places: [...places, end] };
}

/** Takes the objects from one place to another (exclusive) apart. What is read keeps their text alive, and not that of the whole page. */
export function objectsIn({ text, places }: OutlinedListing, from: number, to: number): readonly ListedObject[] {
  const begin = places[from] as number;
  const own = Buffer.from(text.slice(begin, places[to])).toString();
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
