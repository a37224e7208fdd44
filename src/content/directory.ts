import { createReadStream } from 'node:fs';
import { link, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ByteRange } from '../contract/connector.ts';
import type { ContentStore, PackIndex, StagedContent, StoredContent } from '../contract/content-store.ts';
import { LockgateError } from '../contract/errors.ts';
import { Packs } from './packs.ts';
import { orUnwritable, stage, sweep } from './staging.ts';
import { syncPath } from './syncing.ts';

/**
 * A content store in a local directory: `ab/cd/<sha256>`, with bodies staged in `staging/` until they are committed, and small
 * ones together in `packs/` where there is an index for them. Staged names begin with the machine and the process that writes
 * them, so that `sweep` can tell the dead ones' leftovers.
 */
export async function openDirectoryStore(
  root: string,
  index: PackIndex | null = null,
  keptSeconds?: number,
): Promise<ContentStore> {
  const staging = join(root, 'staging');
  await orUnwritable(root, mkdir(staging, { recursive: true, mode: 0o700 }));
  const packs = index && new Packs(root, index, keptSeconds);
  return {
    stage: (body, signal) => stage(staging, body, signal, packs),
    commit: async (staged) => {
      const [packed, others] = packs ? split(staged, (each) => packs.has(each)) : [[], staged];
      if (packs && packed.length > 0) await orUnwritable(root, packs.commit(packed));
      if (others.length > 0) await orUnwritable(root, commit(root, others));
    },
    discard: async (staged) => {
      for (const each of staged) {
        if (packs?.has(each)) packs.discard(each);
        else await rm(each.handle, { force: true });
      }
    },
    read: (sha256, range) => (packs ? readEither(root, packs, sha256, range) : readContent(root, sha256, range)),
    sweep: () => sweep(staging),
    list: () => listAll(root, packs),
    remove: async (sha256) => {
      await remove(root, sha256);
      await packs?.forget(sha256);
    },
    ...(packs
      ? { compact: (signal: AbortSignal) => orUnwritable(root, packs.compact(signal)), close: () => packs.close() }
      : {}),
  };
}

async function* readEither(root: string, packs: Packs, sha256: string, range: ByteRange | undefined) {
  if (!isHash(sha256)) throw notFound(sha256);
  const place = await packs.find(sha256);
  yield* place ? packs.read(sha256, place, range) : readContent(root, sha256, range);
}

async function* listAll(root: string, packs: Packs | null): AsyncIterable<StoredContent> {
  if (packs) yield* packs.list();
  yield* list(root);
}

function split<T>(all: readonly T[], belongs: (each: T) => boolean): [T[], T[]] {
  const parts: [T[], T[]] = [[], []];
  for (const each of all) parts[belongs(each) ? 0 : 1].push(each);
  return parts;
}

function isHash(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

function pathOf(root: string, sha256: string): string {
  return join(root, sha256.slice(0, 2), sha256.slice(2, 4), sha256);
}

/** Syncs the bytes, gives them their names, and syncs the directories that hold the names. */
async function commit(root: string, staged: readonly StagedContent[]): Promise<void> {
  const folders = new Set<string>();
  await Promise.all(
    staged.map(async ({ handle, sha256 }) => {
      const target = pathOf(root, sha256);
      const folder = dirname(target);
      if (await stat(handle).catch(() => null)) {
        await syncPath(handle);
        const made = await mkdir(folder, { recursive: true, mode: 0o700 });
        if (made) folders.add(dirname(folder)).add(root);
        await place(handle, target);
      } else if (!(await stat(target).catch(() => null))) {
        throw new LockgateError('content_lost', 'Staged content is gone before it was committed.');
      }
      folders.add(folder);
    }),
  );
  await Promise.all([...folders].map(syncPath));
}

/** Identical content keeps the file that is there: a reader may have it open. */
async function place(handle: string, target: string): Promise<void> {
  try {
    await link(handle, target);
    await rm(handle, { force: true });
  } catch (error) {
    const code = (error as { code?: string }).code;
    if (code === 'EEXIST') await rm(handle, { force: true });
    // A file system without hard links: the rename replaces the file with one of the same bytes.
    else if (code === 'EPERM' || code === 'ENOTSUP' || code === 'EMLINK') await rename(handle, target);
    else throw error;
  }
}

async function* readContent(root: string, sha256: string, range?: { start: number; end?: number }) {
  if (!isHash(sha256)) throw notFound(sha256);
  if (range?.end !== undefined && range.end <= range.start) return;
  const limits = range ? { start: range.start, ...(range.end === undefined ? {} : { end: range.end - 1 }) } : {};
  try {
    yield* createReadStream(pathOf(root, sha256), limits) as AsyncIterable<Uint8Array>;
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') throw notFound(sha256);
    throw error;
  }
}

function notFound(sha256: string): LockgateError {
  return new LockgateError('content_not_found', `The content store has no content ${sha256.slice(0, 64)}.`);
}

/** Every content that is committed, in the order of the hashes' first bytes. */
async function* list(root: string): AsyncIterable<StoredContent> {
  for (const first of await folders(root)) {
    for (const second of await folders(join(root, first))) {
      for (const sha256 of await readdir(join(root, first, second))) {
        if (!isHash(sha256)) continue;
        const found = await stat(join(root, first, second, sha256)).catch(() => null);
        if (found) yield { sha256, size: found.size, storedAt: found.mtime };
      }
    }
  }
}

async function folders(root: string): Promise<string[]> {
  const entries = await readdir(root, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory() && /^[0-9a-f]{2}$/.test(entry.name)).map(({ name }) => name);
}

async function remove(root: string, sha256: string): Promise<void> {
  if (!isHash(sha256)) throw notFound(sha256);
  await rm(pathOf(root, sha256), { force: true });
}
