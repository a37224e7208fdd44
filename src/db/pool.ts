import pg from 'pg';
import type { Database, Queryable } from '../contract/database.ts';
import { LockgateError } from '../contract/errors.ts';

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
    query: <Row>(text: string, values: readonly unknown[] = []) =>
      orUnavailable(pool.query(text, [...values]).then(({ rows }) => rows as Row[])),
    transaction: (work) => orUnavailable(transaction(pool, work)),
    tryLock: (key) => orUnavailable(tryLock(pool, key)),
    [Symbol.asyncDispose]: async () => {
      await pool.end();
      await onClose();
    },
  };
}

/** PostgreSQL's classes for a lost connection and a server that goes down or comes up, and what sockets say of one that is not there. */
const AWAY = /^(08...|57P0[123]|ECONN.*|EPIPE|ENOENT|ETIMEDOUT|ENOTFOUND)$/;

/** Tells a database that is away, and is worth another attempt, from a statement that is wrong. */
async function orUnavailable<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { code, message, severity } = error as { code?: string; message?: string; severity?: string };
    const cut =
      severity === undefined && /connection terminated|timeout exceeded when trying to connect/i.test(message ?? '');
    if (error instanceof LockgateError || !(cut || AWAY.test(code ?? ''))) throw error;
    throw new LockgateError(
      'database_unavailable',
      `The database does not answer (${code ?? 'connection lost'}).`,
      'Check that PostgreSQL is up and DATABASE_URL is right.',
    );
  }
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
