import { elementAt, Form, isClosing, type Known, TextFields, wholeNumber } from '../http/xml.ts';

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

export interface ScannedBlobs {
  readonly blobs: readonly ListedBlob[];
  /** Empty: this was the last page. */
  readonly marker: string;
}

const TEXTS = ['Name', 'Etag', 'Content-Length', 'Last-Modified', 'AccessTier'];
const FIELDS = new TextFields(TEXTS);
/** What only the SDK reads: nothing of it is asked for. */
const RARE = ['Deleted', 'Snapshot', 'VersionId', 'IsCurrentVersion', 'BlobPrefix'];
const HOLDING: ReadonlySet<string> = new Set(['Blobs', 'Blob', 'Properties', ...RARE]);
const IN_BLOB: Known = { read: new Set(TEXTS), holding: HOLDING };
const IN_LISTING: Known = { read: new Set(['NextMarker']), holding: HOLDING };

/**
 * Reads a page of List Blobs in one pass over its text. Null: it has something that this does not know (CDATA, comments, a name that is
 * encoded, a deleted blob), and needs a whole XML parser. https://learn.microsoft.com/rest/api/storageservices/list-blobs
 */
export function scanBlobs(text: string): ScannedBlobs | null {
  const root = /^\uFEFF?\s*(?:<\?xml[^>]*\?>\s*)?<EnumerationResults(?:\s+[A-Za-z]+="[^"<>]*")*>/.exec(text);
  if (!root) return null;
  const page: OpenPage = { blobs: [], form: null };
  let marker: string | undefined;
  let isInside = false;
  let wasInside = false;
  for (let at = root[0].length; ; ) {
    at = text.indexOf('<', at);
    if (at < 0) return null;
    if (isInside && text.startsWith('<Blob>', at)) {
      at = scanBlob(text, at + 6, page);
      if (at < 0) return null;
    } else if (isInside && text.startsWith('</Blobs>', at)) {
      isInside = false;
      at += 8;
    } else if (!wasInside && text.startsWith('<Blobs>', at)) {
      isInside = wasInside = true;
      at += 7;
    } else if (!wasInside && /^<Blobs ?\/>/.test(text.slice(at, at + 9))) {
      wasInside = true;
      at = text.indexOf('>', at) + 1;
    } else if (isInside) {
      return null;
    } else if (isClosing(text, at)) {
      const ends = /^<\/EnumerationResults\s*>\s*$/.test(text.slice(at, at + 64)) && at + 64 >= text.length;
      return ends && wasInside && marker !== undefined ? { blobs: page.blobs, marker } : null;
    } else {
      const element = elementAt(text, at, IN_LISTING);
      if (!element || (element.value !== undefined && marker !== undefined)) return null;
      marker = element.value ?? marker;
      at = element.end;
    }
  }
}

interface OpenPage {
  readonly blobs: ListedBlob[];
  /** Of the blob before. */
  form: Form | null;
}

/** Reads what is between the tags of a blob, and returns where it ends; -1: it has something unknown. */
function scanBlob(text: string, from: number, page: OpenPage): number {
  const texts: (string | undefined)[] = [undefined, undefined, undefined, undefined, undefined];
  const same = page.form?.read(text, from, texts) ?? 0;
  if (same > 0) return take(page, texts, false) ? same : -1;
  const another = readBlob(text, from);
  if (!another) return -1;
  const { end, marked } = another;
  const element = text.slice(from, end);
  page.form = element.includes('<Metadata>') ? null : new Form(element, TEXTS);
  return take(page, another.texts, marked) ? end : -1;
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
  if (stage !== 2 || !text.startsWith('</Blob>', at)) return null;
  return { texts, end: at + 7, marked: marked ?? false };
}

const METADATA = /^<Metadata(?:\s*\/>|>(?:<([\w.-]+)>[^<]*<\/\1>|<[\w.-]+ ?\/>)*<\/Metadata>)$/;

/** Null: it has something unknown. */
function isMarked(metadata: string): boolean | null {
  if (!METADATA.test(metadata)) return null;
  return /<hdi_isfolder>true<\/hdi_isfolder>/i.test(metadata);
}

let lastText = '';
let lastTime = Number.NaN;

/** Blobs are often written in rows, within the same second. */
function timeOf(text: string | undefined): number {
  if (text === undefined) return Number.NaN;
  if (text !== lastText) {
    lastText = text;
    lastTime = Date.parse(text);
  }
  return lastTime;
}
