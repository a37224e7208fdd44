import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LockgateError } from '../contract/errors.ts';
import { inTime } from '../contract/in-time.ts';
import type { AuditEvent } from '../contract/secret-manager.ts';
import { GENESIS, type Head, headIn, placeOf, sealLine, type Verification, verifyChain } from './chain.ts';
import { readAuditLines, setAside } from './full-files.ts';
import { createNew } from './new-file.ts';
import { takeTurn } from './turns.ts';

export interface AuditFiles {
  /** JSON lines, each chained to the one before. */
  readonly file: string;
  /** The key of the chain, 32 bytes in base64; made at the first event. */
  readonly keyFile: string;
  /** A file of so many bytes is set aside, and the chain goes on in a new one; absent: 64 MiB. */
  readonly fullBytes?: number;
}

/** How long one line may take to become durable, in milliseconds: a sink that hangs must not freeze every sync. */
const APPEND_TIMEOUT_MS = 10_000;
/** Where the last line is looked for; a line is far shorter. */
const TAIL_BYTES = 65_536;
const FULL_BYTES = 64 * 1024 * 1024;

/** One at a time in this process, whoever opened the log; then among all processes. */
const queues = new Map<string, Promise<unknown>>();

/** An append-only file of chained JSON lines, synced to disk line by line. Several processes may append to one file. */
export function fileAuditLog<E extends object = AuditEvent>(
  files: AuditFiles,
  now: () => number,
): { append(event: E): Promise<void> } {
  return {
    append: async (event) => {
      const before = queues.get(files.file) ?? Promise.resolve();
      const mine = before.then(() => append(files, { at: new Date(now()).toISOString(), pid: process.pid, ...event }));
      queues.set(
        files.file,
        mine.catch(() => undefined),
      );
      try {
        await inTime(mine, APPEND_TIMEOUT_MS);
      } catch {
        throw new LockgateError(
          'audit_unavailable',
          `The audit log ${files.file} cannot be written, so no credential is released.`,
          'Check that the disk has room and that this user may write the file, its folder and its key.',
        );
      }
    },
  };
}

async function append({ file, keyFile, fullBytes = FULL_BYTES }: AuditFiles, event: object): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const key = await readOrMakeKey(keyFile);
  const giveBack = await takeTurn(join(dirname(file), 'turns'), APPEND_TIMEOUT_MS);
  try {
    await setAsideIfFull(file, fullBytes);
    await using log = await open(file, 'a+', 0o600);
    const { torn, after } = await endOf(log, file);
    const { line, head } = sealLine(event, after, key);
    // All of it or an error: one write takes what there is room for.
    await log.appendFile(`${torn ? '\n' : ''}${line}\n`);
    await log.datasync();
    await writeHead(file, head);
  } finally {
    await giveBack();
  }
}

async function setAsideIfFull(file: string, fullBytes: number): Promise<void> {
  const size = await stat(file).then(
    (found) => found.size,
    () => 0,
  );
  if (size < fullBytes) return;
  await using log = await open(file, 'r');
  const { after } = await endOf(log, file);
  // Where the new file goes on.
  await writeHead(file, after);
  await setAside(file, after.seq);
}

/** What the next line follows, and whether the last one is only half there. */
async function endOf(log: FileHandle, file: string): Promise<{ torn: boolean; after: Head }> {
  const tail = await readTail(log);
  const noted = await readHead(file);
  // The log that was cut goes on where it once was, so that the gap shows.
  return { torn: tail.torn, after: noted.seq > tail.head.seq ? noted : tail.head };
}

/** How far the log has come. */
export function auditHead({ file }: AuditFiles): Promise<Head> {
  return readHead(file);
}

/**
 * Checks the whole log. `noted` are heads that were kept elsewhere; `behind` is the last line of the oldest files, where they were taken away. Throws
 * `audit_unavailable` when it cannot be read.
 */
export async function verifyAuditLog(
  { file, keyFile }: AuditFiles,
  noted: readonly Head[],
  behind: Head = GENESIS,
): Promise<Verification> {
  const key = await readKey(keyFile).catch(() => {
    throw new LockgateError(
      'audit_unavailable',
      `The key of the audit log, ${keyFile}, cannot be read.`,
      'Verify as the user that runs the workers.',
    );
  });
  return verifyChain(readAuditLines(file), key, [await readHead(file), ...noted], behind);
}

async function readTail(log: FileHandle): Promise<{ head: Head; torn: boolean }> {
  const { size } = await log.stat();
  const length = Math.min(size, TAIL_BYTES);
  const { buffer } = await log.read(Buffer.alloc(length), 0, length, size - length);
  const text = buffer.toString('utf8');
  // The last one may lack its end, and is a line all the same when nothing but that is missing.
  const place = text
    .split('\n')
    .map(placeOf)
    .findLast((each) => each !== null);
  return { head: place ? { seq: place.seq, mac: place.mac } : GENESIS, torn: text !== '' && !text.endsWith('\n') };
}

async function readHead(file: string): Promise<Head> {
  return headIn(await readFile(`${file}.head`, 'utf8').catch(() => '')) ?? GENESIS;
}

async function writeHead(file: string, { seq, mac }: Head): Promise<void> {
  const temporary = `${file}.head.new`;
  await writeFile(temporary, `${seq}:${mac}\n`, { mode: 0o600, flush: true });
  await rename(temporary, `${file}.head`);
}

async function readOrMakeKey(path: string): Promise<Buffer> {
  try {
    return await readKey(path);
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error;
  }
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  // Whoever makes it: all read what is there then.
  await createNew(path, `${randomBytes(32).toString('base64')}\n`, 0o600, true);
  return readKey(path);
}

async function readKey(path: string): Promise<Buffer> {
  const key = Buffer.from((await readFile(path, 'utf8')).trim(), 'base64');
  if (key.length !== 32) throw new Error('the key is not 32 bytes');
  return key;
}
