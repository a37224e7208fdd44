import { readdir, readFile } from 'node:fs/promises';
import type { Database, Queryable } from '../contract/database.ts';
import { LockgateError } from '../contract/errors.ts';

/** Tables with a history of their own. */
export interface Schema {
  readonly name: string;
  readonly folder: URL;
  /** One number for all processes: whoever holds this lock migrates, the others wait and find the work done. */
  readonly lock: number;
}

export const APP_SCHEMA: Schema = {
  name: 'lockgate',
  folder: new URL('./migrations/', import.meta.url),
  lock: 7_246_001,
};

interface Migration {
  readonly version: number;
  readonly name: string;
}

/**
 * Brings the schema to this program's version, in one transaction. Safe when several processes start at once. Refuses
 * a database that a newer version has changed (`database_too_new`).
 */
export async function migrate(db: Database, { name: schema, folder, lock }: Schema = APP_SCHEMA): Promise<void> {
  const known = await migrationsIn(folder);
  const newest = known.at(-1)?.version ?? 0;
  if ((await currentVersion(db, schema)) === newest) return;
  await db.transaction(async (tx) => {
    await tx.query('select pg_advisory_xact_lock($1)', [lock]);
    const current = await currentVersion(tx, schema);
    if (current > newest) throw tooNew(current, newest);
    await tx.query(`create schema if not exists ${schema}`);
    await tx.query(
      `create table if not exists ${schema}.migration (version int primary key, name text not null, applied_at timestamptz not null default now())`,
    );
    for (const { version, name } of known.filter((migration) => migration.version > current)) {
      await tx.query(await readFile(new URL(name, folder), 'utf8'));
      await tx.query(`insert into ${schema}.migration (version, name) values ($1, $2)`, [version, name]);
    }
  });
}

async function migrationsIn(folder: URL): Promise<Migration[]> {
  const names = (await readdir(folder)).filter((name) => /^\d{4}-.*\.sql$/.test(name)).sort();
  return names.map((name) => ({ version: Number(name.slice(0, 4)), name }));
}

async function currentVersion(db: Queryable, schema: string): Promise<number> {
  // By the catalog's rows: name lookups such as to_regclass may answer from a cache of before the lock was waited for.
  const tables = await db.query(
    "select 1 from pg_catalog.pg_tables where schemaname = $1 and tablename = 'migration'",
    [schema],
  );
  if (tables.length === 0) return 0;
  const [row] = await db.query<{ version: number | null }>(`select max(version) as version from ${schema}.migration`);
  return row?.version ?? 0;
}

function tooNew(current: number, newest: number): LockgateError {
  return new LockgateError(
    'database_too_new',
    `The database has schema version ${current}, and this program knows versions up to ${newest}.`,
    'Run the newer Lockgate that changed the database, or restore the backup from before.',
  );
}
