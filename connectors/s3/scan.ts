/** An object as a listing has it, its text as it stands between the tags, entities resolved. */
export interface ListedObject {
  readonly key: string;
  readonly size: number;
  readonly etag: string | undefined;
  /** Milliseconds since the epoch; NaN: it is no date. */
  readonly modifiedAt: number;
  readonly storageClass: string | undefined;
}

export interface ScannedListing {
  readonly objects: readonly ListedObject[];
  /** Undefined: the listing does not say. */
  readonly truncated: boolean | undefined;
  readonly token: string | undefined;
  /** Whether keys are encoded as in URLs. */
  readonly encoded: boolean;
}

const OBJECT_TEXTS: ReadonlySet<string> = new Set(['Key', 'LastModified', 'ETag', 'Size', 'StorageClass']);
const LISTING_TEXTS: ReadonlySet<string> = new Set(['IsTruncated', 'NextContinuationToken', 'EncodingType']);

/**
 * Reads a page of ListObjectsV2 in one pass over its text. Knows elements, text, the five named entities and numeric ones, which
 * is all that such pages have. Null: it has something else (CDATA, comments, attributes on what is read, an element twice), and
 * needs a whole XML parser. https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
 */
export function scanListing(text: string): ScannedListing | null {
  if (text.includes('<!')) return null;
  const root = /^\uFEFF?\s*(?:<\?xml[^>]*\?>\s*)?<ListBucketResult(?:\s+xmlns="[^"<>&]*")?>/.exec(text);
  if (!root) return null;
  const objects: ListedObject[] = [];
  const found = new Map<string, string>();
  let at = root[0].length;
  for (;;) {
    at = text.indexOf('<', at);
    if (at < 0) return null;
    if (text.startsWith('<Contents>', at)) {
      at = scanObject(text, at + 10, objects);
      if (at < 0) return null;
      continue;
    }
    if (text.charCodeAt(at + 1) === SLASH) {
      if (!/^<\/ListBucketResult\s*>\s*$/.test(text.slice(at, at + 64)) || at + 64 < text.length) return null;
      break;
    }
    const element = elementAt(text, at, LISTING_TEXTS);
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
    objects,
    truncated: truncated === undefined ? undefined : truncated === 'true',
    token: found.get('NextContinuationToken'),
    encoded: found.get('EncodingType') === 'url',
  };
}

const SLASH = 47;
const GREATER = 62;

/** Reads what is between the tags of an object, and returns where it ends; -1: it has something unknown. */
function scanObject(text: string, from: number, objects: ListedObject[]): number {
  const texts: (string | undefined)[] = [undefined, undefined, undefined, undefined, undefined];
  let at = from;
  for (;;) {
    at = text.indexOf('<', at);
    if (at < 0) return -1;
    if (text.charCodeAt(at + 1) === SLASH) break;
    const field = fieldAt(text, at);
    if (field < 0) {
      const element = elementAt(text, at, OBJECT_TEXTS);
      if (!element || element.value !== undefined) return -1;
      at = element.end;
      continue;
    }
    const { open, close } = FIELDS[field] as Field;
    const end = text.indexOf('<', at + open.length);
    if (end < 0 || texts[field] !== undefined || !text.startsWith(close, end)) return -1;
    const value = resolved(text, at + open.length, end);
    if (value === null) return -1;
    texts[field] = value;
    at = end + close.length;
  }
  const [key, size, etag, modified, storageClass] = texts;
  if (!text.startsWith('</Contents>', at) || key === undefined || size === undefined) return -1;
  const bytes = numberOf(size);
  if (bytes < 0) return -1;
  objects.push({ key, size: bytes, etag, modifiedAt: timeOf(modified), storageClass });
  return at + 11;
}

interface Field {
  readonly open: string;
  readonly close: string;
}

const FIELDS: readonly Field[] = ['Key', 'Size', 'ETag', 'LastModified', 'StorageClass'].map((name) => ({
  open: `<${name}>`,
  close: `</${name}>`,
}));

/** Which of the fields begins here; -1: none. */
function fieldAt(text: string, at: number): number {
  switch (text.charCodeAt(at + 1)) {
    case 75: // K
      return text.startsWith('<Key>', at) ? 0 : -1;
    case 83: // S
      return text.startsWith('<Size>', at) ? 1 : text.startsWith('<StorageClass>', at) ? 4 : -1;
    case 69: // E
      return text.startsWith('<ETag>', at) ? 2 : -1;
    case 76: // L
      return text.startsWith('<LastModified>', at) ? 3 : -1;
    default:
      return -1;
  }
}

/** A whole number without a sign, as far as numbers are exact; -1: it is none. */
function numberOf(text: string): number {
  if (text.length === 0 || text.length > 15) return -1;
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

/** The element at `at`; its text if it is one of those that are read. Null: it has something unknown. */
function elementAt(text: string, at: number, read: ReadonlySet<string>) {
  const close = text.indexOf('>', at);
  if (close < 0) return null;
  const empty = text.charCodeAt(close - 1) === SLASH;
  const name = text.slice(at + 1, empty ? close - 1 : close);
  if (read.has(name)) {
    if (empty) return { name, value: '', end: close + 1 };
    const end = text.indexOf('<', close);
    if (end < 0 || !text.startsWith(name, end + 2) || text.charCodeAt(end + 1) !== SLASH) return null;
    if (text.charCodeAt(end + 2 + name.length) !== GREATER) return null;
    const value = resolved(text, close + 1, end);
    return value === null ? null : { name, value, end: end + 3 + name.length };
  }
  // What is not read is passed over, with all that is in it.
  const bare = /^[A-Za-z][\w.-]*/.exec(name)?.[0];
  if (!bare || bare === 'Contents' || read.has(bare)) return null;
  if (empty) return { name: bare, value: undefined, end: close + 1 };
  const end = text.indexOf(`</${bare}>`, close);
  if (end < 0) return null;
  if (text.slice(close + 1, end).includes(`<${bare}`)) return null;
  return { name: bare, value: undefined, end: end + bare.length + 3 };
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** The text from one place to another with its entities resolved; null: it has something unknown. */
function resolved(text: string, from: number, to: number): string | null {
  // An ETag in its quotes, as S3 writes it.
  if (text.startsWith('&quot;', from) && text.indexOf('&', from + 6) === to - 6 && text.startsWith('&quot;', to - 6)) {
    return `"${text.slice(from + 6, to - 6)}"`;
  }
  const value = text.slice(from, to);
  if (value.includes('\r')) return null;
  return value.includes('&') ? resolvedAll(value) : value;
}

function resolvedAll(text: string): string | null {
  let good = true;
  const plain = text.replace(/&([^;&]{0,10});?/g, (whole, word: string) => {
    const named = ENTITIES[word];
    if (named !== undefined && whole.endsWith(';')) return named;
    const number = /^#(?:x([0-9a-fA-F]{1,6})|(\d{1,7}))$/.exec(word);
    const code = number ? Number.parseInt(number[1] ?? number[2] ?? '', number[1] ? 16 : 10) : -1;
    if (!whole.endsWith(';') || code <= 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) good = false;
    return good ? String.fromCodePoint(code) : '';
  });
  return good ? plain : null;
}

/** Of `2026-10-12T17:50:30.000Z`, the form that S3 writes; others by the language's own parser. */
function timeOf(text: string | undefined): number {
  if (text === undefined) return Number.NaN;
  if (text.length !== 24 || text.charCodeAt(23) !== 90 || text.charCodeAt(10) !== 84) return Date.parse(text);
  const day = dayOf(text.slice(0, 10));
  const two = (at: number) => (text.charCodeAt(at) - 48) * 10 + text.charCodeAt(at + 1) - 48;
  const [hour, minute, second] = [two(11), two(14), two(17)];
  const ms = two(20) * 10 + text.charCodeAt(22) - 48;
  const good =
    hour < 24 && minute < 60 && second < 60 && hour >= 0 && minute >= 0 && second >= 0 && ms >= 0 && ms < 1000;
  const marks = text.charCodeAt(13) === 58 && text.charCodeAt(16) === 58 && text.charCodeAt(19) === 46;
  return good && marks ? day + hour * 3_600_000 + minute * 60_000 + second * 1000 + ms : Date.parse(text);
}

let lastDay = '';
let lastDayMs = Number.NaN;

function dayOf(text: string): number {
  if (text !== lastDay) {
    lastDay = text;
    lastDayMs = Date.parse(`${text}T00:00:00.000Z`);
  }
  return lastDayMs;
}
