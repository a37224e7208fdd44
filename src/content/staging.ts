import { createHash, randomUUID } from 'node:crypto';
import { readdir, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { giveBack } from '../contract/chunk-pool.ts';
import type { StagedContent } from '../contract/content-store.ts';
import { LockgateError } from '../contract/errors.ts';
import { BodyHash, sha256Of } from './hashing.ts';
import { PACKED_BYTES, type Packs } from './packs.ts';
import { PagedFile } from './paged-file.ts';

/**
 * Writes a body to a file of its own in the folder, and hashes it on the way; one that is small goes to the packs where there are
 * some. When it throws, nothing is left behind.
 */
export function stage(
  staging: string,
  body: AsyncIterable<Uint8Array> | Uint8Array,
  signal: AbortSignal,
  packs: Packs | null = null,
): Promise<StagedContent> {
  if (!(body instanceof Uint8Array)) {
    return packs ? stageUnknown(staging, body, signal, packs) : stageStream(staging, body, signal);
  }
  return packs && body.length <= PACKED_BYTES ? stageSmall(staging, body, packs) : stageStream(staging, [body], signal);
}

function stageSmall(staging: string, bytes: Uint8Array, packs: Packs): Promise<StagedContent> {
  const keep = (sha256: string) => {
    const staged = packs.stage(bytes, sha256);
    return staged instanceof Promise ? orUnwritable(staging, staged) : Promise.resolve(staged);
  };
  const sha256 = sha256Of(bytes);
  return typeof sha256 === 'string' ? keep(sha256) : sha256.then(keep);
}

/** Of a body whose length shows when it ends. */
async function stageUnknown(
  staging: string,
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  packs: Packs,
): Promise<StagedContent> {
  const chunks = body[Symbol.asyncIterator]();
  const begun: Uint8Array[] = [];
  for (let bytes = 0; bytes <= PACKED_BYTES && !signal.aborted; ) {
    const next = await chunks.next();
    if (next.done) {
      const whole = begun.length === 1 ? (begun[0] as Uint8Array) : Buffer.concat(begun);
      return stageSmall(staging, whole, packs);
    }
    begun.push(next.value);
    bytes += next.value.length;
  }
  return stageStream(staging, goOn(begun, chunks), signal);
}

/** What was read of a body, and the rest of it. */
async function* goOn(begun: readonly Uint8Array[], rest: AsyncIterator<Uint8Array>): AsyncIterable<Uint8Array> {
  try {
    yield* begun;
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

async function stageStream(
  staging: string,
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  signal: AbortSignal,
): Promise<StagedContent> {
  const handle = join(staging, `${HOST}-${process.pid}-${randomUUID()}`);
  const hash = new BodyHash();
  let size = 0;
  let file: PagedFile | undefined;
  try {
    file = await orUnwritable(staging, PagedFile.create(handle));
    // A chunk is hashed and written while the next one arrives.
    let before: { chunk: Uint8Array; hashed: Promise<unknown> | undefined; written: Promise<void> } | null = null;
    const settle = async () => {
      if (!before) return;
      const { chunk, hashed, written } = before;
      before = null;
      await hashed;
      await orUnwritable(staging, written);
      giveBack(chunk);
    };
    for await (const chunk of body) {
      signal.throwIfAborted();
      const hashed = hash.update(chunk);
      hashed?.catch(() => undefined);
      await settle();
      const written = file.write(chunk, size);
      written.catch(() => undefined);
      before = { chunk, hashed, written };
      size += chunk.length;
    }
    await settle();
    await orUnwritable(staging, file.settled());
    return { sha256: await hash.digest(), size, handle };
  } catch (error) {
    hash.forget();
    await rm(handle, { force: true });
    throw error;
  } finally {
    await file?.close();
  }
}

/** Says of a file system's error what a person can do about it. The source's own errors do not pass through here. */
export async function orUnwritable<T>(folder: string, work: Promise<T>): Promise<T> {
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

/** This machine or container: where a folder is shared, a process's number alone says nothing. */
const HOST = createHash('sha256').update(hostname()).digest('hex').slice(0, 12);
const OLD_MS = 24 * 3_600_000;

/**
 * Removes what dead processes of this machine staged, and what nobody has written to for a day. Names begin with the machine and
 * the process that writes them.
 */
export async function sweep(staging: string): Promise<void> {
  for (const name of await readdir(staging)) {
    const [host, pid] = name.split('-');
    const file = join(staging, name);
    const isDead = host === HOST && Number(pid) !== process.pid && !isAlive(Number(pid));
    if (isDead || (await isOld(file))) await rm(file, { force: true });
  }
}

async function isOld(file: string): Promise<boolean> {
  const found = await stat(file).catch(() => null);
  return found !== null && Date.now() - found.mtimeMs > OLD_MS;
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
