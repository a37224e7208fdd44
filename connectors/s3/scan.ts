import { dayReader, twoDigitsAt } from '../http/times.ts';
import { elementAt, isClosing, type Known, TextFields, wholeNumber } from '../http/xml.ts';

/** An object as a listing has it, its text as it stands between the tags, entities resolved. */
export interface ListedObject {
  readonly key: string;
  readonly size: number;
  readonly etag: string | undefined;
  /** Milliseconds since the epoch; NaN: it is no date. */
  readonly modifiedAt: number;
  readonly storageClass: string | undefined;
}

/** What a listing says beside its objects. */
export interface ListingFrame {
  /** Undefined: the listing does not say. */
  readonly truncated: boolean | undefined;
  readonly token: string | undefined;
  /** Whether keys are encoded as in URLs. */
  readonly encoded: boolean;
}

export interface ScannedListing extends ListingFrame {
  readonly objects: readonly ListedObject[];
}

const OBJECT_TEXTS = ['Key', 'Size', 'ETag', 'LastModified', 'StorageClass'];
const FIELDS = new TextFields(OBJECT_TEXTS);
const HOLDING: ReadonlySet<string> = new Set(['Contents']);
const IN_OBJECT: Known = { read: new Set(OBJECT_TEXTS), holding: HOLDING };
const IN_LISTING: Known = {
  read: new Set(['IsTruncated', 'NextContinuationToken', 'EncodingType']),
  holding: HOLDING,
};

/**
 * Reads a page of ListObjectsV2 in one pass over its text. Knows elements, text, the five named entities and numeric ones, which
 * is all that such pages have. Null: it has something else (CDATA, comments, attributes on what is read, an element twice), and
 * needs a whole XML parser. https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
 */
export function scanListing(text: string): ScannedListing | null {
  const objects: ListedObject[] = [];
  const frame = walkListing(text, (at) => scanObject(text, at, objects));
  return frame && { objects, ...frame };
}

/** Goes through a page; `objectAt` reads the object that begins at a place, and returns where it ends; -1: it has something unknown. */
export function walkListing(text: string, objectAt: (at: number) => number): ListingFrame | null {
  const root = /^\uFEFF?\s*(?:<\?xml[^>]*\?>\s*)?<ListBucketResult(?:\s+xmlns="[^"<>&]*")?>/.exec(text);
  if (!root) return null;
  const found = new Map<string, string>();
  let at = root[0].length;
  for (;;) {
    at = text.indexOf('<', at);
    if (at < 0) return null;
    if (text.startsWith('<Contents>', at)) {
      at = objectAt(at);
      if (at < 0) return null;
      continue;
    }
    if (isClosing(text, at)) {
      if (!/^<\/ListBucketResult\s*>\s*$/.test(text.slice(at, at + 64)) || at + 64 < text.length) return null;
      break;
    }
    const element = elementAt(text, at, IN_LISTING);
    if (!element) return null;
    if (element.value !== undefined) {
      if (found.has(element.name)) return null;
      found.set(element.name, element.value);
    }
    at = element.end;
  }
  const truncated = found.get('IsTruncated');
  if (truncated !== undefined && truncated !== 'true' && truncated !== 'false') return null;
  return {
    truncated: truncated === undefined ? undefined : truncated === 'true',
    token: found.get('NextContinuationToken'),
    encoded: found.get('EncodingType') === 'url',
  };
}

/** Reads the object that begins here, and returns where it ends; -1: it has something unknown. */
function scanObject(text: string, from: number, objects: ListedObject[]): number {
  const texts: (string | undefined)[] = [undefined, undefined, undefined, undefined, undefined];
  let at = from + '<Contents>'.length;
  for (;;) {
    const next = text.indexOf('<', at);
    // Text between the fields is in no listing; a parser may make a text of the whole object then.
    if (next < 0 || (next > at && text.slice(at, next).trim() !== '')) return -1;
    at = next;
    if (isClosing(text, at)) break;
    const end = FIELDS.read(text, at, texts);
    if (end < 0) return -1;
    const element = end === 0 ? elementAt(text, at, IN_OBJECT) : null;
    if (end === 0 && (!element || element.value !== undefined)) return -1;
    at = element ? element.end : end;
  }
  const [key, size, etag, modified, storageClass] = texts;
  if (!text.startsWith('</Contents>', at) || key === undefined || size === undefined) return -1;
  const bytes = wholeNumber(size);
  if (bytes < 0) return -1;
  objects.push({ key, size: bytes, etag, modifiedAt: timeOf(modified), storageClass });
  return at + 11;
}

const dayOf = dayReader('T00:00:00.000Z');

/** Of `2026-10-12T17:50:30.000Z`, the form that S3 writes; others by the language's own parser. */
export function timeOf(text: string | undefined): number {
  if (text === undefined) return Number.NaN;
  if (text.length !== 24 || text.charCodeAt(23) !== 90 || text.charCodeAt(10) !== 84) return Date.parse(text);
  const day = dayOf(text.slice(0, 10));
  const [hour, minute, second] = [twoDigitsAt(text, 11), twoDigitsAt(text, 14), twoDigitsAt(text, 17)];
  const ms = twoDigitsAt(text, 20) * 10 + text.charCodeAt(22) - 48;
  const good =
    hour < 24 && minute < 60 && second < 60 && hour >= 0 && minute >= 0 && second >= 0 && ms >= 0 && ms < 1000;
  const marks = text.charCodeAt(13) === 58 && text.charCodeAt(16) === 58 && text.charCodeAt(19) === 46;
  return good && marks ? day + hour * 3_600_000 + minute * 60_000 + second * 1000 + ms : Date.parse(text);
}
