import pg from 'pg';
import type { Database, Queryable } from '../contract/database.ts';

/** Connections of one process to PostgreSQL. */
export interface OpenDatabase extends Database, AsyncDisposable {}

const INT8 = 20;
const CONNECT_TIMEOUT_MS = 15_000;

const types = {
  getTypeParser: (oid: number, format?: string) =>
    oid === INT8 ? Number : pg.types.getTypeParser(oid, format as 'text'),
} as pg.CustomTypesConfig;

/** Opens a pool. `onClose` runs after the last connection has ended. */
export function openPool(
  target: { connectionString: string } | { host: string; port: number; user: string; database: string },
  maxConnections: number,
  onClose: () => Promise<void> = async () => undefined,
): OpenDatabase {
  const pool = new pg.Pool({
    ...target,
    max: maxConnections,
    types,
    application_name: 'lockgate',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  });
  // An idle connection that breaks is replaced by the pool; without a listener it would end the process.
  pool.on('error', () => undefined);
  return {
    query: async <Row>(text: string, values: readonly unknown[] = []) =>
      (await pool.query(text, [...values])).rows as Row[],
    transaction: (work) => transaction(pool, work),
    tryLock: (key) => tryLock(pool, key),
    [Symbol.asyncDispose]: async () => {
      await pool.end();
      await onClose();
    },
  };
}

async function transaction<T>(pool: pg.Pool, work: (tx: Queryable) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  const onError = (error: Error) => {
    broken = error;
  };
  client.on('error', onError);
  try {
    await client.query('begin');
    const result = await work({
      query: async <Row>(text: string, values: readonly unknown[] = []) =>
        (await client.query(text, [...values])).rows as Row[],
    });
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch((failure: Error) => {
      broken = failure;
    });
    throw error;
  } finally {
    client.off('error', onError);
    client.release(broken);
  }
}

/** A session's advisory lock: PostgreSQL frees it when the process dies, however it dies. */
async function tryLock(pool: pg.Pool, key: string): Promise<AsyncDisposable | null> {
  const client = await pool.connect();
  const onError = () => undefined;
  client.on('error', onError);
  const { rows } = await client
    .query('select pg_try_advisory_lock(hashtextextended($1, 0)) as held', [key])
    .catch((error) => {
      client.release(true);
      throw error;
    });
  if (!rows[0].held) {
    client.off('error', onError);
    client.release();
    return null;
  }
  return { [Symbol.asyncDispose]: async () => client.release(true) };
}
