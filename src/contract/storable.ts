import { createHash } from 'node:crypto';

/** What an index of PostgreSQL takes of a key, in bytes of UTF-8: a third of a page, less what stands beside it there. */
export const KEY_BYTES = 2600;
const READABLE_BYTES = 2000;
/** A character has three bytes at the most, or two places and four. */
const SURELY_SHORT = Math.floor(KEY_BYTES / 3);

/** What PostgreSQL text cannot hold. */
const UNSTORABLE = /\0|[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;

export function isStorableText(text: string): boolean {
  return !UNSTORABLE.test(text);
}

/** Whether a document can have this key. */
export function isStorableKey(key: string): boolean {
  return isStorableText(key) && (key.length <= SURELY_SHORT || Buffer.byteLength(key) <= KEY_BYTES);
}

/** A text as PostgreSQL can hold it: what it cannot is written as an escape. Only for people to read. */
export function storableText(text: string): string {
  return isStorableText(text) ? text : text.toWellFormed().replaceAll('\0', '\\u0000');
}

/** A key of which no document can be as an index can hold it, readable and like no other key's; any other as it is. */
export function storableKey(key: string): string {
  if (isStorableKey(key)) return key;
  const text = Buffer.from(storableText(key));
  const isLong = text.length > READABLE_BYTES;
  const beginning = isLong ? `${text.toString('utf8', 0, READABLE_BYTES).replace(/\uFFFD+$/, '')}...` : text.toString();
  return `${beginning} (SHA-256 ${createHash('sha256').update(key).digest('hex').slice(0, 16)})`;
}

/**
 * A text that stands where this key does in the order of all keys that a document can have: none of them has what is cut off. For
 * comparisons, which may be with a key of any kind.
 */
export function boundAt<Key extends string | null>(key: Key): Key {
  return (key?.includes('\0') ? key.slice(0, key.indexOf('\0')) : key) as Key;
}
