import { createReadStream } from 'node:fs';
import { lstat, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createGunzip } from 'node:zlib';
import type { Database } from '../contract/database.ts';

/** Something that is searched, piece by piece. */
export interface Place {
  readonly name: string;
  /** Each piece is searched with the end of the one before, unless it is a whole. */
  readonly pieces: AsyncIterable<{ readonly at: string; readonly bytes: Buffer; readonly whole: boolean }>;
}

/** Of 8 KiB; what is in them is in memory at once. */
const PAGES_AT_ONCE = 16;
/** What a chunk of a gzip file may become at the most: a bomb is not unpacked to its end. */
const MAX_UNPACKED_BYTES = 16 * 1024 * 1024 * 1024;

/** Every row of every table of the deployment, the queue's with them, as JSON. */
export async function* tables(db: Database): AsyncIterable<Place> {
  const found = await db.query<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_catalog.pg_tables
      where schemaname not in ('pg_catalog', 'information_schema') order by 1`,
  );
  for (const { name } of found) yield { name: `table ${name}`, pieces: rowsOf(db, name) };
}

/** By stretches of the table's pages: every row once, whatever its columns are, without an order that would have to be made. */
async function* rowsOf(db: Database, table: string) {
  const [{ pages = 0 } = {}] = await db.query<{ pages: number }>(
    `select (pg_relation_size($1::regclass) / current_setting('block_size')::int)::int8 as pages`,
    [table],
  );
  for (let page = 0; page < pages; page += PAGES_AT_ONCE) {
    const rows = await db.query<{ place: string; row: string }>(
      `select t.ctid::text as place, to_jsonb(t)::text as row from ${table} t where t.ctid >= $1::tid and t.ctid < $2::tid`,
      [`(${page},0)`, `(${page + PAGES_AT_ONCE},0)`],
    );
    for (const { place, row } of rows) yield { at: `row ${place}`, bytes: Buffer.from(row), whole: true };
  }
}

/** A file, or every file below a folder but for the folders that are left out; names are searched as well. */
export async function* files(path: string, leftOut: readonly string[] = []): AsyncIterable<Place> {
  if (leftOut.includes(path)) return;
  const found = await lstat(path).catch(() => null);
  if (found?.isDirectory()) {
    for (const name of (await readdir(path)).sort()) yield* files(join(path, name), leftOut);
  } else if (found?.isFile()) yield { name: `file ${path}`, pieces: contentOf(path) };
}

async function* contentOf(path: string) {
  yield { at: 'its name', bytes: Buffer.from(path), whole: true };
  let bytes = 0;
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    yield { at: `byte ${bytes}`, bytes: chunk, whole: false };
    bytes += chunk.length;
  }
  if (!(await isGzip(path))) return;
  const unpacked = createReadStream(path).pipe(createGunzip());
  bytes = 0;
  try {
    for await (const chunk of unpacked as AsyncIterable<Buffer>) {
      yield { at: `byte ${bytes} unpacked`, bytes: chunk, whole: bytes === 0 };
      bytes += chunk.length;
      if (bytes > MAX_UNPACKED_BYTES) return;
    }
  } catch {
    // Cut off, or no gzip after all: what came was searched.
  }
}

async function isGzip(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0);
    return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b;
  } finally {
    await file.close();
  }
}

/** Names only: what the documents themselves say is not ours to search. */
export async function* names(name: string, all: AsyncIterable<string>): AsyncIterable<Place> {
  yield { name, pieces: piecesOf(all) };
}

async function* piecesOf(all: AsyncIterable<string>) {
  for await (const each of all) yield { at: each.slice(0, 12), bytes: Buffer.from(each), whole: true };
}
