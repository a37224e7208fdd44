import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, link, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ContentStore, StagedContent } from '../contract/content-store.ts';
import { LockgateError } from '../contract/errors.ts';

/**
 * A content store in a local directory: `ab/cd/<sha256>`, with bodies staged in `staging/` until they are committed.
 * Staged names begin with the process that writes them, so that `sweep` can tell the dead ones' leftovers.
 */
export async function openDirectoryStore(root: string): Promise<ContentStore> {
  const staging = join(root, 'staging');
  await orUnwritable(root, mkdir(staging, { recursive: true, mode: 0o700 }));
  return {
    stage: (body, signal) => stage(staging, body, signal),
    commit: (staged) => orUnwritable(root, commit(root, staged)),
    discard: async (staged) => {
      for (const { handle } of staged) await rm(handle, { force: true });
    },
    read: (sha256, range) => readContent(root, sha256, range),
    sweep: () => sweep(staging),
  };
}

function pathOf(root: string, sha256: string): string {
  return join(root, sha256.slice(0, 2), sha256.slice(2, 4), sha256);
}

async function stage(staging: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<StagedContent> {
  const handle = join(staging, `${process.pid}-${randomUUID()}`);
  const hash = createHash('sha256');
  let size = 0;
  let file: FileHandle | undefined;
  try {
    file = await orUnwritable(staging, open(handle, 'wx', 0o600));
    for await (const chunk of body) {
      signal.throwIfAborted();
      hash.update(chunk);
      await orUnwritable(staging, writeAll(file, chunk));
      size += chunk.length;
    }
    return { sha256: hash.digest('hex'), size, handle };
  } catch (error) {
    await rm(handle, { force: true });
    throw error;
  } finally {
    await file?.close();
  }
}

/** Says of a file system's error what a person can do about it. The source's own errors do not pass through here. */
async function orUnwritable<T>(folder: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const code = (error as { code?: string }).code;
    if (error instanceof LockgateError || code === undefined) throw error;
    throw new LockgateError(
      'content_store_unavailable',
      `The content store cannot be written (${code} in ${folder}).`,
      code === 'ENOSPC' || code === 'EDQUOT' ? 'Make room on the disk.' : 'Check that this user may write the folder.',
    );
  }
}

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  let written = 0;
  while (written < chunk.length) written += (await file.write(chunk, written)).bytesWritten;
}

/** Syncs the bytes, gives them their names, and syncs the directories that hold the names. */
async function commit(root: string, staged: readonly StagedContent[]): Promise<void> {
  const folders = new Set<string>();
  await Promise.all(
    staged.map(async ({ handle, sha256 }) => {
      const target = pathOf(root, sha256);
      const folder = dirname(target);
      if (await stat(handle).catch(() => null)) {
        await syncFile(handle);
        const made = await mkdir(folder, { recursive: true, mode: 0o700 });
        if (made) folders.add(dirname(folder)).add(root);
        await place(handle, target);
      } else if (!(await stat(target).catch(() => null))) {
        throw new LockgateError('content_lost', 'Staged content is gone before it was committed.');
      }
      folders.add(folder);
    }),
  );
  await Promise.all([...folders].map(syncFile));
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

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

async function* readContent(root: string, sha256: string, range?: { start: number; end?: number }) {
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw notFound(sha256);
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

async function sweep(staging: string): Promise<void> {
  for (const name of await readdir(staging)) {
    const pid = Number(name.split('-')[0]);
    if (pid !== process.pid && !isAlive(pid)) await rm(join(staging, name), { force: true });
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM';
  }
}
