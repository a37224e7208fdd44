import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { ByteRange, Connector, Entry, Page, Source } from '../../src/contract/connector.ts';
import { ConnectorError, InputError } from '../../src/contract/errors.ts';
import { NO_SETTINGS, parseFields } from '../../src/contract/fields.ts';
import { folderPrefix } from '../../src/contract/object-store.ts';
import type { Secret } from '../../src/contract/secret.ts';

const Credential = z.strictObject({ password: z.string().min(1) });

/**
 * The reference implementation: what the contract means, without a network. Core tests run on it, and a new connector
 * is right when the conformance suite cannot tell it from this one.
 */
export const memory: Connector<MemoryCredential, MemoryLocation> = {
  type: 'memory',
  capabilities: { listing: 'snapshot', ranges: true },
  credentialFields: Credential,
  settingsFields: NO_SETTINGS,
  parseCredential: (payload) => parseFields(Credential, payload, 'invalid_credential', 'memory credential'),
  parseLocation,
  quotaOf: (_, { bucket }) => bucket,
  open: (credential, location) => openMemory(credential, location),
  positionAfter: (key) => key,
};

export type MemoryCredential = z.infer<typeof Credential>;

export interface MemoryLocation {
  readonly bucket: string;
  readonly prefix: string;
  readonly listed: string;
}

interface MemoryObject {
  readonly body: Uint8Array;
  readonly version: string;
  readonly modifiedAt: number;
}

/** A bucket that lives as long as the process, and the password that opens it. */
export class MemoryBucket {
  readonly objects = new Map<string, MemoryObject>();
  pageSize = 1000;
  /** The order of listings: of the keys' UTF-8 bytes, of their UTF-16 units, or none that means anything. */
  order: 'bytes' | 'utf16' | 'none' = 'bytes';
  password = 'open sesame';
  #writes = 0;

  put(key: string, body: Uint8Array | string): void {
    this.objects.set(key, { body: Buffer.from(body), version: `v${++this.#writes}`, modifiedAt: this.#writes * 1000 });
  }

  delete(key: string): void {
    this.objects.delete(key);
  }
}

const buckets = new Map<string, MemoryBucket>();

export function memoryBucket(name: string): MemoryBucket {
  const bucket = buckets.get(name) ?? new MemoryBucket();
  buckets.set(name, bucket);
  return bucket;
}

function parseLocation(path: string, beginning = ''): MemoryLocation {
  const found = /^memory:\/\/([a-z0-9-]+)(?:\/(.*))?$/s.exec(path);
  if (!found) throw new InputError('invalid_path', 'This is no path of a memory bucket.', 'Use memory://bucket/prefix');
  const folder = folderPrefix(found[2] ?? '');
  return { bucket: found[1] as string, prefix: folder, listed: folder + beginning };
}

function openMemory(credential: Secret<MemoryCredential>, location: MemoryLocation): Source {
  const bucket = memoryBucket(location.bucket);
  const authorise = (operation: 'list' | 'read' | 'check') => {
    if (credential.reveal().password === bucket.password) return;
    throw new ConnectorError('credential_rejected', 'The password is wrong.', { operation, retryable: false });
  };
  return {
    check: async () => {
      try {
        authorise('check');
        return { reachable: true, readable: true, warnings: [] };
      } catch (error) {
        const { code, message } = error as ConnectorError;
        return { reachable: true, readable: false, problem: { code, message }, warnings: [] };
      }
    },
    listPage: async (position, signal) => {
      signal.throwIfAborted();
      authorise('list');
      return pageOf(bucket, location, position);
    },
    read: async (entry, range, signal) => {
      signal.throwIfAborted();
      authorise('read');
      return contentOf(bucket, entry, range, signal);
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

const ORDERS: Readonly<Record<MemoryBucket['order'], (a: string, b: string) => number>> = {
  bytes: (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)),
  utf16: (a, b) => (a === b ? 0 : a < b ? -1 : 1),
  none: (a, b) => ORDERS.utf16([...a].reverse().join(''), [...b].reverse().join('')),
};

function pageOf(bucket: MemoryBucket, { prefix, listed }: MemoryLocation, after: string | null): Page {
  const keys = [...bucket.objects.keys()]
    .filter((key) => key.startsWith(listed))
    .sort(ORDERS[bucket.order])
    .filter((key) => after === null || ORDERS[bucket.order](key, after) > 0);
  const entries = keys.slice(0, bucket.pageSize).map((key): Entry => {
    const object = bucket.objects.get(key) as MemoryObject;
    const path = key.slice(prefix.length);
    return { key, path, version: object.version, size: object.body.length, modifiedAt: object.modifiedAt };
  });
  const last = entries.at(-1);
  if (!last || keys.length <= bucket.pageSize) return { entries, next: { kind: 'end' } };
  return { entries, next: { kind: 'more', pageToken: last.key } };
}

function contentOf(bucket: MemoryBucket, entry: Entry, range: ByteRange | undefined, signal: AbortSignal) {
  const object = bucket.objects.get(entry.key);
  const failure = (code: 'not_found' | 'changed_during_fetch', message: string) =>
    new ConnectorError(code, message, { operation: 'read', retryable: false });
  if (!object) throw failure('not_found', 'The object is gone.');
  if (object.version !== entry.version)
    throw failure('changed_during_fetch', 'The object changed after it was listed.');
  const checksums = { sha256: createHash('sha256').update(object.body).digest('hex') };
  return {
    checksums,
    contentType: 'application/octet-stream',
    body: chunks(object.body.subarray(range?.start, range?.end), signal),
  };
}

async function* chunks(body: Uint8Array, signal: AbortSignal): AsyncIterable<Uint8Array> {
  for (let at = 0; at < body.length; at += 65_536) {
    signal.throwIfAborted();
    yield body.subarray(at, at + 65_536);
  }
}
