import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ByteRange } from '../contract/connector.ts';
import type { ContentStore, StagedContent, StoredContent } from '../contract/content-store.ts';
import { describeError, LockgateError } from '../contract/errors.ts';
import { inTime } from '../contract/in-time.ts';
import { orUnwritable, stage, sweep } from './staging.ts';

/** What a content store asks of an object store. Keys are below the store's own prefix. */
export interface ObjectClient {
  /** Puts a local file there, verified by the other side, unless the key is taken. */
  put(key: string, file: string, content: { readonly sha256: string; readonly size: number }): Promise<void>;
  /** Null: there is no such object. */
  get(key: string, range: ByteRange | undefined): Promise<AsyncIterable<Uint8Array> | null>;
  exists(key: string): Promise<boolean>;
  list(): AsyncIterable<{ readonly key: string; readonly size: number; readonly modifiedAt: Date }>;
  remove(key: string): Promise<void>;
}

const UPLOADS_AT_ONCE = 16;
/** How long an answer may take, in milliseconds; a file has the time that its bytes need at the least of speeds beside it. */
const ANSWER_MS = 60_000;
const LEAST_BYTES_PER_MS = 64;

/**
 * A content store in a bucket: `ab/cd/<sha256>`. Bodies are staged in a local folder, because an object's name is its hash,
 * and uploaded when they are committed: an object is there whole or not at all.
 */
export async function openObjectContent(client: ObjectClient, staging: string): Promise<ContentStore> {
  await orUnwritable(staging, mkdir(staging, { recursive: true, mode: 0o700 }));
  return {
    stage: (body, signal) => stage(staging, body, signal),
    commit: (staged) => commit(client, staged),
    discard: async (staged) => {
      for (const { handle } of staged) await rm(handle, { force: true });
    },
    read: (sha256, range) => read(client, sha256, range),
    sweep: () => sweep(staging),
    list: () => list(client),
    remove: async (sha256) => {
      if (isHash(sha256)) await available(client.remove(keyOf(sha256)));
    },
  };
}

function isHash(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

function keyOf(sha256: string): string {
  return `${sha256.slice(0, 2)}/${sha256.slice(2, 4)}/${sha256}`;
}

async function commit(client: ObjectClient, staged: readonly StagedContent[]): Promise<void> {
  // The same content twice in one commit is one object.
  const byHash = [...Map.groupBy(staged, ({ sha256 }) => sha256).values()];
  for (let at = 0; at < byHash.length; at += UPLOADS_AT_ONCE) {
    await Promise.all(byHash.slice(at, at + UPLOADS_AT_ONCE).map((same) => place(client, same)));
  }
}

async function place(client: ObjectClient, same: readonly StagedContent[]): Promise<void> {
  const there: StagedContent[] = [];
  for (const content of same) if (await stat(content.handle).catch(() => null)) there.push(content);
  const [first] = there;
  const sha256 = same[0]?.sha256 ?? '';
  if (first) await available(client.put(keyOf(sha256), first.handle, first), first.size);
  // A commit may be repeated: then the first one has uploaded it already.
  else if (!(await available(client.exists(keyOf(sha256))))) {
    throw new LockgateError('content_lost', 'Staged content is gone before it was committed.');
  }
  for (const { handle } of there) await rm(handle, { force: true });
}

async function* read(client: ObjectClient, sha256: string, range?: ByteRange): AsyncIterable<Uint8Array> {
  if (!isHash(sha256)) throw notFound(sha256);
  if (range?.end !== undefined && range.end <= range.start) return;
  const body = await available(client.get(keyOf(sha256), range));
  if (!body) throw notFound(sha256);
  yield* body;
}

async function* list(client: ObjectClient): AsyncIterable<StoredContent> {
  try {
    for await (const { key, size, modifiedAt } of client.list()) {
      const sha256 = key.split('/').at(-1) ?? '';
      if (isHash(sha256) && key === keyOf(sha256)) yield { sha256, size, storedAt: modifiedAt };
    }
  } catch (error) {
    throw unavailable(error);
  }
}

/** What is not answered is left to itself: not every SDK ends what it has begun. */
async function available<T>(work: Promise<T>, bytes = 0): Promise<T> {
  try {
    return await inTime(work, ANSWER_MS + bytes / LEAST_BYTES_PER_MS, noAnswer);
  } catch (error) {
    throw unavailable(error);
  }
}

function noAnswer(): Error {
  return Object.assign(new Error('no answer'), { name: 'TimeoutError' });
}

/** The SDKs' own errors carry requests: only what kind of failure it was is kept. */
function unavailable(error: unknown): LockgateError {
  if (error instanceof LockgateError) return error;
  const {
    name = '',
    statusCode,
    code,
    $metadata,
  } = error as {
    name?: string;
    statusCode?: number;
    code?: number | string;
    $metadata?: { httpStatusCode?: number };
  };
  const status = statusCode ?? $metadata?.httpStatusCode ?? (typeof code === 'number' ? code : undefined);
  const what = status ?? (/^[A-Za-z]{3,40}$/.test(name) ? name : describeError(error).code);
  return new LockgateError(
    'content_store_unavailable',
    `The content store does not answer as it should (${what}).`,
    status === 401 || status === 403
      ? 'Check the rights of the identity that the deployment has for it.'
      : 'Check LOCKGATE_CONTENT_STORE and the network.',
  );
}

function notFound(sha256: string): LockgateError {
  return new LockgateError('content_not_found', `The content store has no content ${sha256.slice(0, 64)}.`);
}

/** Where a staging folder lies for a store that is elsewhere. */
export function stagingIn(dataDir: string): string {
  return join(dataDir, 'staging');
}
