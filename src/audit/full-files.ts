import { type FileHandle, link, open, readdir, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { LockgateError } from '../contract/errors.ts';

/** So that the names stand in the order of the log. */
const DIGITS = 12;

/**
 * Sets the file aside under the number of its last line, as `access.jsonl.000000004711`. For whoever has the turn. Nothing is written over: a file that is
 * there already under that name leaves everything as it is.
 */
export async function setAside(file: string, last: number): Promise<void> {
  const name = `${file}.${String(last).padStart(DIGITS, '0')}`;
  try {
    await link(file, name);
  } catch (error) {
    if ((error as { code?: string }).code !== 'EEXIST') throw error;
    // Somebody was killed between the two.
    const [mine, there] = await Promise.all([stat(file), stat(name)]);
    if (mine.ino !== there.ino) return;
  }
  await unlink(file);
  await using folder = await open(dirname(file));
  await folder.sync();
}

/** Every line of all its files as it stands; none when there is no log yet. What is written meanwhile may be in it or not. */
export async function* readAuditLines(file: string): AsyncIterable<string> {
  await using current = await opened(file);
  const mine = (await current?.stat())?.ino;
  let isSetAside = false;
  for (const name of await fullFiles(file)) {
    await using full = await opened(name);
    if (!full) continue;
    // Since it was opened: it has its place among them, and others may have come after it.
    isSetAside ||= (await full.stat()).ino === mine;
    yield* full.readLines({ autoClose: false });
  }
  if (!isSetAside && current) yield* current.readLines({ autoClose: false });
}

/** The oldest first. */
async function fullFiles(file: string): Promise<string[]> {
  const folder = dirname(file);
  const names = await readdir(folder).catch((error) => orUnreadable(folder, error, []));
  const start = `${basename(file)}.`;
  const isFull = (name: string) => name.startsWith(start) && /^\d+$/.test(name.slice(start.length));
  const numberOf = (name: string) => Number(name.slice(start.length));
  return names
    .filter(isFull)
    .sort((a, b) => numberOf(a) - numberOf(b))
    .map((name) => join(folder, name));
}

async function opened(file: string): Promise<FileHandle | null> {
  return open(file, 'r').catch((error) => orUnreadable(file, error, null));
}

function orUnreadable<T>(path: string, error: { code?: string }, absent: T): T {
  if (error.code === 'ENOENT') return absent;
  throw new LockgateError(
    'audit_unavailable',
    `The audit log ${path} cannot be read.`,
    'Read it as the user that runs the workers.',
  );
}
