import { randomBytes } from 'node:crypto';
import { inject } from 'vitest';
import { migrate } from '../src/db/migrate.ts';
import { type OpenDatabase, openPool } from '../src/db/pool.ts';

/** A new, empty database, dropped when it is closed. */
export async function emptyDatabase(): Promise<OpenDatabase & { readonly url: string }> {
  const target = inject('postgres');
  const admin = openPool({ ...target, database: 'postgres' }, 1);
  const database = `test_${randomBytes(8).toString('hex')}`;
  await admin.query(`create database ${database}`);
  const db = openPool({ ...target, database }, 10);
  return {
    ...db,
    url: `postgres://${target.user}@localhost/${database}?host=${encodeURIComponent(target.host)}`,
    [Symbol.asyncDispose]: async () => {
      await db[Symbol.asyncDispose]();
      await admin.query(`drop database ${database} with (force)`);
      await admin[Symbol.asyncDispose]();
    },
  };
}

/** With the schema of this version. */
export async function freshDatabase() {
  const db = await emptyDatabase();
  await migrate(db);
  return db;
}
