import { PIECE_BYTES, sandwichOf } from '../http/pieces.ts';
import { dayReader, twoDigitsAt } from '../http/times.ts';
import { elementAt, Form, isClosing, isPlain, type Known, TextFields, wholeNumber } from '../http/xml.ts';

/** A blob as a listing has it. */
export interface ListedBlob {
  readonly name: string;
  readonly etag: string;
  readonly size: number;
  /** Milliseconds since the epoch; NaN: it is no date. */
  readonly modifiedAt: number;
  readonly archived: boolean;
  /** It is marked as a directory of a hierarchical namespace. */
  readonly marked: boolean;
}

const TEXTS = ['Name', 'Etag', 'Content-Length', 'Last-Modified', 'AccessTier'];
/** Of these, most blobs of a container have the same. */
const STEADY = ['AccessTier'];
const FIELDS = new TextFields(TEXTS);
/** What only the SDK reads: nothing of it is asked for. */
const RARE = ['Deleted', 'Snapshot', 'VersionId', 'IsCurrentVersion', 'BlobPrefix'];
const HOLDING: ReadonlySet<string> = new Set(['Blobs', 'Blob', 'Properties', ...RARE]);
const IN_BLOB: Known = { read: new Set(TEXTS), holding: HOLDING };
const IN_LISTING: Known = { read: new Set(['NextMarker']), holding: HOLDING };

const BLOBS_BEGIN = '<Blobs>';
const BLOBS_END = '</Blobs>';
const BLOB_BEGIN = '<Blob>';
const BLOB_END = '</Blob>';

/**
 * Reads a page of List Blobs in one pass over its text, and returns the marker of the next one (empty: this was the last). `take` has the blobs, some at
 * a time. Null: the page has something that this does not know (CDATA, comments, a name that is encoded, a deleted blob), and needs a whole XML parser;
 * what was taken of it is worth nothing. https://learn.microsoft.com/rest/api/storageservices/list-blobs
 */
export function scanBlobs(
  body: Buffer,
  take: (blobs: readonly ListedBlob[]) => void,
  pieceBytes = PIECE_BYTES,
): string | null {
  const begin = body.indexOf(BLOBS_BEGIN);
  if (begin < 0) return markerOf(body.toString());
  const from = begin + BLOBS_BEGIN.length;
  const to = body.lastIndexOf(BLOBS_END);
  if (to < from) return null;
  const { head, tail, pieces } = sandwichOf(body, from, to, BLOB_END, pieceBytes);
  const page: OpenPage = { blobs: [], form: null };
  for (const text of pieces) {
    page.blobs = [];
    if (!scanPiece(text, page)) return null;
    detach(page.blobs);
    take(page.blobs);
  }
  return markerOf(head + tail);
}

/** Blobs that follow each other. False: there is something unknown. */
function scanPiece(text: string, page: OpenPage): boolean {
  const plain = isPlain(text);
  for (let at = 0; at < text.length; ) {
    const { form } = page;
    const end = form?.read(text, at, plain) || 0;
    if (form && end > 0) {
      if (!take(page, form.texts, false)) return false;
      at = end;
      continue;
    }
    const next = text.indexOf('<', at);
    if (next < 0) return true;
    if (next === at) at = text.startsWith(BLOB_BEGIN, at) ? scanBlob(text, at, page) : -1;
    else at = next;
    if (at < 0) return false;
  }
  return true;
}

/** Of a page without its blobs. */
function markerOf(text: string): string | null {
  const root = /^\uFEFF?\s*(?:<\?xml[^>]*\?>\s*)?<EnumerationResults(?:\s+[A-Za-z]+="[^"<>]*")*>/.exec(text);
  if (!root) return null;
  let marker: string | undefined;
  let wasInside = false;
  for (let at = root[0].length; ; ) {
    at = text.indexOf('<', at);
    if (at < 0) return null;
    const inside = /^<Blobs(?:>[^<]*<\/Blobs>| ?\/>)/.exec(text.slice(at, at + 64));
    if (inside && !wasInside) {
      wasInside = true;
      at += inside[0].length;
    } else if (isClosing(text, at)) {
      const ends = /^<\/EnumerationResults\s*>\s*$/.test(text.slice(at, at + 64)) && at + 64 >= text.length;
      return ends && wasInside ? (marker ?? null) : null;
    } else {
      const element = elementAt(text, at, IN_LISTING);
      if (!element || (element.value !== undefined && marker !== undefined)) return null;
      marker = element.value ?? marker;
      at = element.end;
    }
  }
}

/** Gives blobs texts that lie together, and not where they were cut out: each would keep a hundred times as much alive. */
function detach(blobs: readonly OpenBlob[]): void {
  const all: string[] = [];
  for (const { name, etag } of blobs) all.push(name, etag);
  const text = all.join('');
  let at = 0;
  for (const blob of blobs) {
    const between = at + blob.name.length;
    const end = between + blob.etag.length;
    blob.name = text.slice(at, between);
    blob.etag = text.slice(between, end);
    at = end;
  }
}

interface OpenBlob extends ListedBlob {
  name: string;
  etag: string;
}

interface OpenPage {
  /** Of the piece that is being read. */
  blobs: OpenBlob[];
  /** Of the blob before. */
  form: Form | null;
}

/** Reads a blob, and returns where it ends; -1: it has something unknown. */
function scanBlob(text: string, from: number, page: OpenPage): number {
  const blob = readBlob(text, from + BLOB_BEGIN.length);
  if (!blob) return -1;
  const { texts, end, marked } = blob;
  const element = text.slice(from, end);
  page.form = element.includes('<Metadata>') ? null : new Form(element, TEXTS, STEADY);
  return take(page, texts, marked) ? end : -1;
}

function take({ blobs }: OpenPage, texts: readonly (string | undefined)[], marked: boolean): boolean {
  const [name, etag, length, modified, tier] = texts;
  if (name === undefined || etag === undefined || length === undefined) return false;
  const size = wholeNumber(length);
  if (size < 0) return false;
  blobs.push({ name, etag, size, modifiedAt: timeOf(modified), archived: tier === 'Archive', marked });
  return true;
}

function readBlob(text: string, from: number) {
  const texts: (string | undefined)[] = [undefined, undefined, undefined, undefined, undefined];
  let at = from;
  let marked: boolean | undefined;
  /** 0: before the properties, 1: in them, 2: after them. */
  let stage = 0;
  for (;;) {
    at = text.indexOf('<', at);
    if (at < 0) return null;
    if (isClosing(text, at)) {
      if (stage !== 1 || !text.startsWith('</Properties>', at)) break;
      stage = 2;
      at += 13;
      continue;
    }
    if (stage === 0 && text.startsWith('<Properties>', at)) {
      stage = 1;
      at += 12;
      continue;
    }
    const end = FIELDS.read(text, at, texts);
    if (end < 0) return null;
    const element = end === 0 ? elementAt(text, at, IN_BLOB) : null;
    if (end === 0 && (!element || element.value !== undefined)) return null;
    if (element?.name === 'Metadata') {
      const read = isMarked(text.slice(at, element.end));
      if (read === null || marked !== undefined) return null;
      marked = read;
    }
    at = element ? element.end : end;
  }
  if (stage !== 2 || !text.startsWith(BLOB_END, at)) return null;
  return { texts, end: at + BLOB_END.length, marked: marked ?? false };
}

const METADATA = /^<Metadata(?:\s*\/>|>(?:<([\w.-]+)>[^<]*<\/\1>|<[\w.-]+ ?\/>)*<\/Metadata>)$/;

/** Null: it has something unknown. */
function isMarked(metadata: string): boolean | null {
  if (!METADATA.test(metadata)) return null;
  return /<hdi_isfolder>true<\/hdi_isfolder>/i.test(metadata);
}

/** Of `Mon, 12 Oct 2026 17:50:30 GMT`, the form that Azure writes; others by the language's own parser. */
function timeOf(text: string | undefined): number {
  if (text === undefined) return Number.NaN;
  // Blobs are often written in rows, within the same second.
  if (text !== lastText) {
    lastText = text;
    lastTime = TIME.test(text) ? parsedTime(text) : Date.parse(text);
  }
  return lastTime;
}

let lastText = '';
let lastTime = Number.NaN;

const TIME = /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} (?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d GMT$/;

const dayOf = dayReader(' 00:00:00 GMT');

function parsedTime(text: string): number {
  const [hour, minute, second] = [twoDigitsAt(text, 17), twoDigitsAt(text, 20), twoDigitsAt(text, 23)];
  return dayOf(text.slice(0, 16)) + hour * 3_600_000 + minute * 60_000 + second * 1000;
}
