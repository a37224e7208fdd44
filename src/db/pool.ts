import { setTimeout as wait } from 'node:timers/promises';
import pg from 'pg';
import { Column, type Database, type Queryable } from '../contract/database.ts';
import { LockgateError } from '../contract/errors.ts';
import { binaryArray } from './binary-array.ts';

/** Connections of one process to PostgreSQL. */
export interface OpenDatabase extends Database, AsyncDisposable {
  /** What another thread of this process connects to, with the login as it is now. */
  target(): Promise<PoolTarget>;
}

const INT8 = 20;
const CONNECT_TIMEOUT_MS = 15_000;
const KEEP_ALIVE_MS = 10_000;

const types = {
  getTypeParser: (oid: number, format?: string) =>
    oid === INT8 ? Number : pg.types.getTypeParser(oid, format as 'text'),
} as pg.CustomTypesConfig;

export type PoolTarget = { connectionString: string } | { host: string; port: number; user: string; database: string };

interface PoolTerms {
  /** Resolves when a server that did not take a connection is up again. */
  readonly back?: () => Promise<void>;
  /** Runs after the last connection has ended. */
  readonly onClose?: () => Promise<void>;
}

/**
 * Opens a pool. A target that is a function is asked for when the first connection is made, and again when the server refuses
 * the login.
 */
export function openPool(
  target: PoolTarget | (() => Promise<PoolTarget>),
  maxConnections: number,
  { back, onClose }: PoolTerms = {},
): OpenDatabase {
  const pools = new LoggedInPools(target, maxConnections, back);
  return {
    query: <Row>(text: string, values: readonly unknown[] = []) =>
      pools.use((pool) => pool.query(text, values.map(asParameter)).then(rowsOf<Row>)),
    transaction: (work) => pools.use((pool) => again(() => transaction(pool, work))),
    tryLock: (key) => pools.use((pool) => tryLock(pool, key)),
    target: pools.target,
    [Symbol.asyncDispose]: async () => {
      await pools.end();
      await onClose?.();
    },
  };
}

/**
 * What the server is to make of a process that the network keeps away or that hangs: what its transaction holds is free after
 * half a minute, and its session ends soon after.
 */
const SESSION = `set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3;
  set tcp_user_timeout = '25s'; set idle_in_transaction_session_timeout = '30s'`;

/** Several statements in one text have several results: the queue sends such ones. */
function rowsOf<Row>(result: pg.QueryResult | pg.QueryResult[]): Row[] {
  return Array.isArray(result) ? result.flatMap(({ rows }) => rows as Row[]) : (result.rows as Row[]);
}

function asParameter(value: unknown): unknown {
  return value instanceof Column ? binaryArray(value) : value;
}

/** The pool of the current login, and those of earlier ones while they are in use. */
class LoggedInPools {
  readonly target: () => Promise<PoolTarget>;
  readonly #fixed: boolean;
  readonly #max: number;
  readonly #back: PoolTerms['back'];
  readonly #all: pg.Pool[] = [];
  #current: Promise<pg.Pool> | undefined;

  constructor(target: PoolTarget | (() => Promise<PoolTarget>), maxConnections: number, back: PoolTerms['back']) {
    this.#back = back;
    this.#fixed = typeof target !== 'function';
    this.target = typeof target === 'function' ? target : async () => target;
    this.#max = maxConnections;
  }

  async use<T>(work: (pool: pg.Pool) => Promise<T>): Promise<T> {
    this.#current ??= this.#open();
    const used = this.#current;
    try {
      return await orUnavailable(this.#ready(used).then((pool) => this.#connected(pool, work)));
    } catch (error) {
      if (this.#fixed || (error as LockgateError).code !== 'database_refused') throw error;
      // The password has changed: those who find out together ask for it once.
      if (this.#current === used) this.#current = this.#open();
      return await orUnavailable(this.#ready(this.#current).then(work));
    }
  }

  /** Of a server of our own that is not there, once it is. Nothing was done without a connection. */
  async #connected<T>(pool: pg.Pool, work: (pool: pg.Pool) => Promise<T>): Promise<T> {
    try {
      return await work(pool);
    } catch (error) {
      const { syscall, code } = error as { syscall?: string; code?: string };
      if (!this.#back || (syscall !== 'connect' && code !== COMES_UP)) throw error;
      await this.#back();
      return work(pool);
    }
  }

  async end(): Promise<void> {
    await Promise.all(this.#all.map((pool) => pool.end()));
  }

  async #ready(opening: Promise<pg.Pool>): Promise<pg.Pool> {
    try {
      return await opening;
    } catch (error) {
      if (this.#current === opening) this.#current = undefined;
      throw error;
    }
  }

  async #open(): Promise<pg.Pool> {
    const pool = new pg.Pool({
      ...(await this.target()),
      max: this.#max,
      types,
      application_name: 'lockgate',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      verify: (client: pg.PoolClient, done: (error?: Error) => void) =>
        void client.query(SESSION).then(() => done(), done),
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    });
    // An idle connection that breaks is replaced by the pool; without a listener it would end the process.
    pool.on('error', () => undefined);
    this.#all.push(pool);
    return pool;
  }
}

/** A server that has just begun and takes no connection yet. */
const COMES_UP = '57P03';

/** PostgreSQL's classes for a lost connection and a server that goes down or comes up, and what sockets say of one that is not there. */
const AWAY = /^(08...|25P03|57P0[123]|ECONN.*|EPIPE|ENOENT|ETIMEDOUT|ENOTFOUND)$/;

/** What a server lacks that is there, and what to do about it: https://www.postgresql.org/docs/current/errcodes-appendix.html */
const LACKING: ReadonlyMap<string, readonly [message: string, hint: string]> = new Map([
  ['53100', ['The database has no room on its disk.', 'Make room there; what was under way goes on then.']],
  ['53200', ['The database has no memory left.', 'Give it more, or fewer connections.']],
  ['53300', ['The database takes no more connections.', 'Raise its max_connections, or run fewer processes.']],
  [
    '25006',
    ['The database takes no writes: it is a standby.', 'After a failover, have DATABASE_URL lead to the new primary.'],
  ],
]);

/** A user, a password or a database that the server does not take: before anything was done. */
const REFUSED: readonly string[] = ['28P01', '28000', '3D000'];

/** Tells a database that is away, and is worth another attempt, from a statement that is wrong. */
async function orUnavailable<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { code, message, severity } = error as { code?: string; message?: string; severity?: string };
    if (REFUSED.includes(code ?? '')) {
      throw new LockgateError(
        'database_refused',
        `The database does not accept the ${code === '3D000' ? "database's name" : 'user or the password'}.`,
        'Check DATABASE_URL, and what DATABASE_SECRET names.',
      );
    }
    const lacking = LACKING.get(code ?? '');
    if (lacking) throw new LockgateError('database_unavailable', ...lacking);
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

const ATTEMPTS = 5;
/** PostgreSQL ended the transaction because of another one that was under way at the same time. */
const CONFLICTS: readonly string[] = ['40001', '40P01'];

async function again<T>(attempt: () => Promise<T>): Promise<T> {
  for (let n = 1; ; n++) {
    try {
      return await attempt();
    } catch (error) {
      if (n === ATTEMPTS || !CONFLICTS.includes((error as { code?: string }).code ?? '')) throw error;
    }
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
        rowsOf<Row>(await client.query(text, values.map(asParameter))),
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

/** How long a server that may be gone is waited for, in milliseconds. */
const UNLOCK_MS = 5000;

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
  return {
    [Symbol.asyncDispose]: async () => {
      // A connection that is closed keeps its lock until the server notices, so whoever asks next could be refused.
      const unlocked = client.query('select pg_advisory_unlock(hashtextextended($1, 0))', [key]);
      const freed = await Promise.race([unlocked.catch(() => null), wait(UNLOCK_MS, null, { ref: false })]);
      client.off('error', onError);
      client.release(freed === null);
    },
  };
}
