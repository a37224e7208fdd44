import { setTimeout as wait } from 'node:timers/promises';
import pg from 'pg';
import { isUniqueViolation } from '../contract/database.ts';
import {
  begun,
  cannotStart,
  isAlive,
  isReady,
  lastLines,
  PORT,
  postmasterPid,
  socketFolder,
  startServer,
  USER,
} from './server.ts';

const DATABASE = 'lockgate';
const START_TIMEOUT_MS = 60_000;
/** How long one attempt to join may wait for an answer, or for a process that is stopping the server. */
const JOIN_TIMEOUT_MS = 5000;
/** How often it is looked whether a server takes connections, and how long after one was not had it is asked for again, in milliseconds. */
const LOOK_MS = 3;
const AGAIN_MS = 10;
/** Every process that uses the server holds this lock shared; the one that can get it alone is the last. */
const USERS_LOCK = 7_246_000;

export interface EmbeddedServer {
  readonly target: { host: string; port: number; user: string; database: string };
  /** Resolves when the server is up, after one that ended under its users was started again. */
  back(): Promise<void>;
  /** Leaves the server; stops it when no other process uses it. */
  leave(): Promise<void>;
}

/**
 * Attaches to the PostgreSQL of `folder`, which is made and started when it is not there or not up. Reached by a Unix
 * socket in a folder that only this user may enter, so it has no password and no port. It runs in a session of its
 * own: it outlives a killed process, and the next one attaches to it. One that is killed itself is started again by those who use it.
 * `onReady` hears, perhaps more than once, that the server takes connections: while this process is not counted among its users yet.
 */
export async function attachEmbedded(
  folder: string,
  onReady: (target: EmbeddedServer['target']) => void = () => undefined,
): Promise<EmbeddedServer> {
  const target = targetOf(await socketFolder(folder));
  let hasLeft = false;
  let session = await enter(target, folder, () => onReady(target));
  let entering: Promise<void> | null = null;
  const back = async () => {
    if (isOpen(session) || hasLeft) return;
    entering ??= enter(target, folder)
      .then(hold)
      .finally(() => {
        entering = null;
      });
    await entering;
  };
  const hold = (entered: pg.Client) => {
    session = entered;
    // Whoever is not in it cannot keep others from stopping it.
    session.once('end', () => void back().catch(() => undefined));
  };
  hold(session);
  return {
    target,
    back,
    leave: async () => {
      hasLeft = true;
      await entering?.catch(() => undefined);
      await leave(session, folder);
    },
  };
}

const closed = new WeakSet<pg.Client>();

function isOpen(session: pg.Client): boolean {
  return !closed.has(session);
}

/** A session that holds the users' lock, of a server that is started where it is not up. */
async function enter(
  target: EmbeddedServer['target'],
  folder: string,
  onReady: () => void = () => undefined,
): Promise<pg.Client> {
  const until = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    if (await isReady(folder)) {
      onReady();
      const session = await joinServer(target);
      if (session) {
        joined.add(folder);
        return session;
      }
      await wait(AGAIN_MS);
    }
    if (Date.now() > until) throw cannotStart(folder, await lastLines(folder));
    await startServer(folder);
    await wait(LOOK_MS);
  }
}

const joined = new Set<string>();

/** Stops a server that was started ahead, where this process did not come to use it and no other does. */
export async function stopUnused(folder: string): Promise<void> {
  if (joined.has(folder)) return;
  await begun(folder);
  const target = targetOf(await socketFolder(folder));
  const until = Date.now() + START_TIMEOUT_MS;
  // One that could not start has ended by itself.
  while ((await postmasterPid(folder)) && Date.now() < until) {
    const session = await joinServer(target).catch(() => null);
    if (session) return leave(session, folder);
    await wait(10);
  }
}

function targetOf(host: string): EmbeddedServer['target'] {
  return { host, port: PORT, user: USER, database: DATABASE };
}

/** A session that holds the users' lock, or null when the server is not up (yet, or any more). */
async function joinServer(target: EmbeddedServer['target']): Promise<pg.Client | null> {
  const session = new pg.Client({
    ...target,
    database: 'postgres',
    application_name: 'lockgate-attached',
    connectionTimeoutMillis: JOIN_TIMEOUT_MS,
    lock_timeout: JOIN_TIMEOUT_MS,
  });
  session.on('error', () => undefined);
  session.once('end', () => closed.add(session));
  try {
    await session.connect();
    // Waits for the last user's exclusive lock: by then the server is going down and this fails, so it is retried.
    await session.query('select pg_advisory_lock_shared($1)', [USERS_LOCK]);
    const { rowCount } = await session.query('select 1 from pg_database where datname = $1', [DATABASE]);
    if (!rowCount) await session.query(`create database ${DATABASE}`).catch(ignoreDuplicate);
    return session;
  } catch (error) {
    void session.end().catch(() => undefined);
    const code = (error as { code?: string }).code ?? '';
    // No socket yet, starting up, shutting down, cut by a shutdown, or no answer in time: try again.
    if (JOIN_AGAIN.includes(code)) return null;
    throw error;
  }
}

const JOIN_AGAIN: readonly string[] = [
  ...['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE'],
  ...['57P01', '57P02', '57P03', '55P03', ''],
];

function ignoreDuplicate(error: { code?: string }): void {
  if (error.code !== '42P04' && !isUniqueViolation(error)) throw error;
}

async function leave(session: pg.Client, folder: string): Promise<void> {
  try {
    await session.query('select pg_advisory_unlock_shared($1)', [USERS_LOCK]);
    const { rows } = await session.query('select pg_try_advisory_lock($1) as alone', [USERS_LOCK]);
    const pid = rows[0].alone ? await postmasterPid(folder) : null;
    if (pid) {
      process.kill(pid, 'SIGINT');
      await ended(pid);
    }
  } catch {
    // The server is already going down: nothing is left to leave.
  } finally {
    await session.end().catch(() => undefined);
  }
}

async function ended(pid: number): Promise<void> {
  const until = Date.now() + START_TIMEOUT_MS;
  while (isAlive(pid) && Date.now() < until) await wait(5);
}
