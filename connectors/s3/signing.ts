import { createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto';
import type { Secret } from '../../src/contract/secret.ts';

export interface Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** Headers as they go over the wire: name, value, name, value, with lower-case names. */
export type Headers = string[];

/** The SHA-256 of nothing, which is what a GET carries. */
const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

interface Shape {
  /** Names as they come. */
  readonly given: readonly string[];
  /** Where they are in what comes, by name. */
  readonly order: readonly number[];
  readonly names: string;
}

/**
 * Signs GETs with Signature Version 4. The signing key is derived once a day and for each pair of keys.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 */
export class Signer {
  readonly #region: string;
  readonly #service: string;
  readonly #now: () => number;
  #shape: Shape = { given: [], order: [], names: '' };
  #second = Number.NaN;
  #stamp = '';
  #scope = '';
  #keyFor = '';
  #key: KeyObject | null = null;

  constructor(region: string, service: string, now: () => number) {
    this.#region = region;
    this.#service = service;
    this.#now = now;
  }

  /** Adds what proves who asks. `headers` has `host`, and everything else that is sent. */
  sign(keys: Secret<Keys>, path: string, query: string, headers: readonly [string, string][]): Headers {
    const { accessKeyId, secretAccessKey, sessionToken } = keys.reveal();
    const stamp = this.#stampNow();
    const given: Headers = ['x-amz-content-sha256', EMPTY, 'x-amz-date', stamp];
    if (sessionToken) given.push('x-amz-security-token', sessionToken);
    for (const [name, value] of headers) given.push(name, value);
    const { order, names } = this.#shapeOf(given);
    let lines = '';
    const all: Headers = [];
    for (const at of order) {
      const name = given[at] as string;
      const value = given[at + 1] as string;
      lines += `${name}:${spaced(value)}\n`;
      all.push(name, value);
    }
    const request = `GET\n${path}\n${query}\n${lines}\n${names}\n${EMPTY}`;
    const key = this.#keyOf(stamp.slice(0, 8), secretAccessKey);
    const text = `AWS4-HMAC-SHA256\n${stamp}\n${this.#scope}\n${hash('sha256', request)}`;
    const signature = createHmac('sha256', key).update(text).digest('hex');
    all.push(
      'authorization',
      `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${this.#scope}, SignedHeaders=${names}, Signature=${signature}`,
    );
    return all;
  }

  /** In what order headers are signed. One request after the other has the same ones. */
  #shapeOf(given: Headers): Shape {
    const { given: before } = this.#shape;
    if (before.length * 2 === given.length && before.every((name, i) => name === given[i * 2])) return this.#shape;
    const names = given.filter((_, i) => i % 2 === 0);
    const sorted = names.map((name, i) => ({ name, at: i * 2 })).sort((a, b) => (a.name < b.name ? -1 : 1));
    this.#shape = {
      given: names,
      order: sorted.map(({ at }) => at),
      names: sorted.map(({ name }) => name).join(';'),
    };
    return this.#shape;
  }

  /** `20261012T175030Z`. */
  #stampNow(): string {
    const second = Math.floor(this.#now() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#stamp = `${new Date(second * 1000).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`;
    }
    return this.#stamp;
  }

  #keyOf(date: string, secret: string): KeyObject {
    const wanted = `${date} ${secret}`;
    if (!this.#key || this.#keyFor !== wanted) {
      const step = (key: Buffer | string, text: string) => createHmac('sha256', key).update(text).digest();
      const derived = step(step(step(step(`AWS4${secret}`, date), this.#region), this.#service), 'aws4_request');
      this.#key = createSecretKey(derived);
      this.#scope = `${date}/${this.#region}/${this.#service}/aws4_request`;
      this.#keyFor = wanted;
    }
    return this.#key;
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
