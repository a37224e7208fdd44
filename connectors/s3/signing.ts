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

/**
 * Signs GETs with Signature Version 4. The signing key is derived once a day and for each pair of keys.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 */
export class Signer {
  readonly #region: string;
  readonly #service: string;
  readonly #now: () => number;
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
    const time = new Date(this.#now()).toISOString();
    const date = time.slice(0, 4) + time.slice(5, 7) + time.slice(8, 10);
    const stamp = `${date}T${time.slice(11, 13)}${time.slice(14, 16)}${time.slice(17, 19)}Z`;
    const signed: [string, string][] = [
      ...headers,
      ['x-amz-content-sha256', EMPTY],
      ['x-amz-date', stamp],
      ...(sessionToken ? ([['x-amz-security-token', sessionToken]] as [string, string][]) : []),
    ];
    signed.sort(([a], [b]) => (a < b ? -1 : 1));
    let names = '';
    let lines = '';
    for (const [name, value] of signed) {
      names += names === '' ? name : `;${name}`;
      lines += `${name}:${value.trim().replace(/ {2,}/g, ' ')}\n`;
    }
    const request = `GET\n${path}\n${query}\n${lines}\n${names}\n${EMPTY}`;
    const key = this.#keyOf(date, secretAccessKey);
    const text = `AWS4-HMAC-SHA256\n${stamp}\n${this.#scope}\n${hash('sha256', request)}`;
    const signature = createHmac('sha256', key).update(text).digest('hex');
    const all: Headers = [];
    for (const [name, value] of signed) all.push(name, value);
    all.push(
      'authorization',
      `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${this.#scope}, SignedHeaders=${names}, Signature=${signature}`,
    );
    return all;
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

/** As S3 wants it in what is signed: everything but unreserved characters by its UTF-8 bytes. */
export function encoded(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}
