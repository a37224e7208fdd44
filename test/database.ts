import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, inject } from 'vitest';
import { type OpenDatabase, openPool } from '../src/db/pool.ts';
import { copyServer } from './postgres.ts';

type TestDatabase = OpenDatabase & { readonly url: string };

/** A new, empty database, dropped when it is closed. */
export async function emptyDatabase(): Promise<TestDatabase> {
  return opened(await made('template1'), drop);
}

/** With the schema of this version. */
export async function freshDatabase(): Promise<TestDatabase> {
  return opened(await made(), drop);
}

/** Databases that nobody uses any more. */
const used: string[] = [];
afterAll(() => Promise.all(used.splice(0).map(drop)));

/** Like a fresh one, for tests that use hundreds: one that another of the same file has closed, without its rows. */
export async function emptiedDatabase(): Promise<TestDatabase> {
  const again = used.pop();
  const name = again ?? (await made());
  // What still works for who had it before loses its connections with them.
  const db = opened(name, async () => void used.push(name));
  if (again) await db.query(EMPTY);
  return db;
}

const EMPTY = `do $$ declare one record; begin
  set local session_replication_role = replica;
  for one in select tablename as name from pg_tables where schemaname = 'lockgate' and tablename <> 'migration' loop
    execute format('delete from lockgate.%I', one.name);
  end loop;
  insert into lockgate.run_total default values;
end $$`;

function opened(name: string, after: (name: string) => Promise<void>): TestDatabase {
  const { target } = inject('postgres');
  const db = openPool({ ...target, database: name }, 10, { onClose: () => after(name) });
  return { ...db, url: `postgres://${target.user}@localhost/${name}?host=${encodeURIComponent(target.host)}` };
}

async function made(template = inject('postgres').target.database): Promise<string> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  await asAdmin(`create database ${name} template ${template}`);
  return name;
}

function drop(name: string): Promise<void> {
  return asAdmin(`drop database ${name} with (force)`);
}

async function asAdmin(statement: string): Promise<void> {
  await using admin = openPool({ ...inject('postgres').target, database: 'postgres' }, 1);
  await admin.query(statement);
}

/** Makes a data folder that has its database already: making that takes longer than all else of a first command. */
export async function makeDataFolder(path: string): Promise<void> {
  await mkdir(path, { mode: 0o700 });
  await copyServer(inject('postgres').folder, join(path, 'postgres'));
}
