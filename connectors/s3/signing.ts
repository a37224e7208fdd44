import { createHmac, hash } from 'node:crypto';
import type { Secret } from '../../src/contract/secret.ts';
import { assertOneRequest } from '../http/framing.ts';
import type { RawRequest } from '../http/messages.ts';

export interface Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export type Header = readonly [name: string, value: string];

/** The SHA-256 of nothing, which is what a GET carries. */
const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
/** Stands for a value that is not known yet. */
const OPEN = '\0';

/**
 * GETs that differ in their path, their query and the values of a few headers. What they have in common is put together once a second,
 * which is how long one time stands in signatures.
 */
export class Form {
  readonly #signer: Signer | null;
  readonly #fixed: readonly Header[];
  readonly #open: readonly Header[];
  #keys: Secret<Keys> | null = null;
  #key: KeyedHash | null = null;
  #stamp = '';
  /** What goes before the hash of a request. */
  #begin = '';
  /** What is signed, and what is sent: behind path and query, and behind each open value. */
  #signed: readonly string[] = [];
  #sent: readonly string[];

  /** `fixed` has `host`. Names are in lower case, and those of `open` in their order. Null: nobody signs. */
  constructor(signer: Signer | null, fixed: readonly Header[], open: readonly string[] = []) {
    this.#signer = signer;
    this.#fixed = fixed;
    this.#open = open.map((name) => [name, OPEN]);
    this.#sent = sentAs([...fixed, ...this.#open]);
  }

  /** With the values of the open headers. `path` and `query` are encoded already; keys are those of whoever signs. */
  fill(keys: Secret<Keys> | null, path: string, query: string, values: readonly string[]): RawRequest {
    assertOneRequest(path, values);
    const proof = this.#signer && keys ? this.#sign(this.#signer, keys, path, query, values) : '';
    const asked = query === '' ? path : `${path}?${query}`;
    const text = filled(`GET ${asked} HTTP/1.1`, this.#sent, values);
    return new FilledForm(asked, `${text}${proof}\r\n\r\n`);
  }

  /** https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html */
  #sign(signer: Signer, keys: Secret<Keys>, path: string, query: string, values: readonly string[]): string {
    const stamp = signer.stampNow();
    if (stamp !== this.#stamp || keys !== this.#keys) this.#prepare(signer, keys, stamp);
    const bare = values.map(spaced);
    const signed = hash('sha256', filled(`GET\n${path}\n${query}`, this.#signed, bare));
    return (this.#key as KeyedHash).hex(this.#begin + signed);
  }

  #prepare(signer: Signer, keys: Secret<Keys>, stamp: string): void {
    const { accessKeyId, secretAccessKey, sessionToken } = keys.reveal();
    const headers: Header[] = [...this.#fixed, ['x-amz-content-sha256', EMPTY], ['x-amz-date', stamp], ...this.#open];
    if (sessionToken) headers.push(['x-amz-security-token', sessionToken]);
    headers.sort(([a], [b]) => (a < b ? -1 : 1));
    const names = headers.map(([name]) => name).join(';');
    const lines = headers.map(([name, value]) => `${name}:${spaced(value)}\n`).join('');
    this.#signed = `\n${lines}\n${names}\n${EMPTY}`.split(OPEN);
    const { key, scope } = signer.keyOf(secretAccessKey, stamp.slice(0, 8));
    this.#key = key;
    this.#begin = `AWS4-HMAC-SHA256\n${stamp}\n${scope}\n`;
    const proof = `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${names}, Signature=`;
    this.#sent = sentAs([...headers, ['authorization', proof]]);
    this.#stamp = stamp;
    this.#keys = keys;
  }
}

function sentAs(headers: readonly Header[]): readonly string[] {
  return headers
    .map(([name, value]) => `\r\n${name}: ${value}`)
    .join('')
    .split(OPEN);
}

function filled(begin: string, parts: readonly string[], values: readonly string[]): string {
  let text = begin + parts[0];
  for (let i = 0; i < values.length; i++) text += `${values[i]}${parts[i + 1]}`;
  return text;
}

class FilledForm implements RawRequest {
  readonly path: string;
  readonly text: string;

  constructor(path: string, text: string) {
    this.path = path;
    this.text = text;
  }

  /** For who does not send the text as it is. */
  get headers(): string[] {
    const lines = this.text.split('\r\n').slice(1, -2);
    return lines.flatMap((line) => {
      const colon = line.indexOf(': ');
      return [line.slice(0, colon), line.slice(colon + 2)];
    });
  }
}

/** Signature Version 4. The signing key is derived once a day and for each pair of keys. */
export class Signer {
  readonly #region: string;
  readonly #service: string;
  readonly #now: () => number;
  #second = Number.NaN;
  #stamp = '';
  #keyFor = '';
  #key: { readonly key: KeyedHash; readonly scope: string } | null = null;

  constructor(region: string, service: string, now: () => number) {
    this.#region = region;
    this.#service = service;
    this.#now = now;
  }

  /** `20261012T175030Z`. */
  stampNow(): string {
    const second = Math.floor(this.#now() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#stamp = `${new Date(second * 1000).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`;
    }
    return this.#stamp;
  }

  /** `date` is the first part of a stamp. */
  keyOf(secret: string, date: string): { readonly key: KeyedHash; readonly scope: string } {
    const wanted = `${date} ${secret}`;
    if (!this.#key || this.#keyFor !== wanted) {
      const step = (key: Buffer | string, text: string) => createHmac('sha256', key).update(text).digest();
      const derived = step(step(step(step(`AWS4${secret}`, date), this.#region), this.#service), 'aws4_request');
      this.#key = { key: new KeyedHash(derived), scope: `${date}/${this.#region}/${this.#service}/aws4_request` };
      this.#keyFor = wanted;
    }
    return this.#key;
  }
}

const BLOCK_BYTES = 64;
const HASH_BYTES = 32;

/**
 * HMAC with SHA-256 and a key that is used again and again (RFC 2104): two hashes. An object of Node's for each text takes twice as
 * long, and the collector longer.
 */
export class KeyedHash {
  #inner: Buffer;
  readonly #outer = Buffer.alloc(BLOCK_BYTES + HASH_BYTES, 0x5c);

  /** A key of one block at the most. */
  constructor(key: Buffer) {
    if (key.length > BLOCK_BYTES) throw new RangeError(`a key of more than ${BLOCK_BYTES} bytes`);
    this.#inner = Buffer.alloc(BLOCK_BYTES * 8, 0x36);
    key.forEach((byte, i) => {
      this.#inner[i] = byte ^ 0x36;
      this.#outer[i] = byte ^ 0x5c;
    });
  }

  /** Of a text of ASCII. */
  hex(text: string): string {
    const end = BLOCK_BYTES + text.length;
    if (end > this.#inner.length) this.#inner = Buffer.concat([this.#inner.subarray(0, BLOCK_BYTES)], 2 * end);
    this.#inner.write(text, BLOCK_BYTES, 'latin1');
    this.#outer.write(hash('sha256', this.#inner.subarray(0, end)), BLOCK_BYTES, 'hex');
    return hash('sha256', this.#outer);
  }
}

/** As it is signed: without spaces around it, and with one where there are several. */
function spaced(value: string): string {
  const bare = value.trim();
  return bare.includes('  ') ? bare.replace(/ {2,}/g, ' ') : bare;
}

/** As S3 wants it in what is signed: everything but unreserved characters by its UTF-8 bytes. */
export function encoded(text: string): string {
  if (!/[^\w.~-]/.test(text)) return text;
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** The same for each name between slashes. */
export function encodedPath(key: string): string {
  return /[^\w.~/-]/.test(key) ? key.split('/').map(encoded).join('/') : key;
}
