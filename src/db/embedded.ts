import { execFile, spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { chmod, chown, mkdir, open, readdir, readFile, readlink, realpath, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { isUniqueViolation } from '../contract/database.ts';
import { LockgateError } from '../contract/errors.ts';
import { findBinaries } from './binaries.ts';

const run = promisify(execFile);
const DATABASE = 'lockgate';
const USER = 'lockgate';
const PORT = 5432;
const START_TIMEOUT_MS = 60_000;
/** How long one attempt to join may wait for an answer, or for a process that is stopping the server. */
const JOIN_TIMEOUT_MS = 5000;
/** Every process that uses the server holds this lock shared; the one that can get it alone is the last. */
const USERS_LOCK = 7_246_000;
/** The longest socket path that the kernel takes, less the name that PostgreSQL adds. */
const MAX_SOCKET_FOLDER = 107 - '/.s.PGSQL.5432.lock'.length;

export interface EmbeddedServer {
  readonly target: { host: string; port: number; user: string; database: string };
  /** Leaves the server; stops it when no other process uses it. */
  leave(): Promise<void>;
}

/** All that the server sees of the environment. */
const SERVER_ENVIRONMENT = { LC_ALL: 'C', TZ: 'UTC' };

/**
 * Attaches to the PostgreSQL of `folder`, which is made and started when it is not there or not up. Reached by a Unix
 * socket in a folder that only this user may enter, so it has no password and no port. It runs in a session of its
 * own: it outlives a killed process, and the next one attaches to it.
 */
export async function attachEmbedded(folder: string): Promise<EmbeddedServer> {
  const owner = await serverUser();
  const socketFolder = await socketFolderOf(folder, owner);
  const target = { host: socketFolder, port: PORT, user: USER, database: DATABASE };
  const until = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    const session = await joinServer(target);
    if (session) return { target, leave: () => leave(session, folder) };
    if (Date.now() > until) throw cannotStart(folder, await lastLines(join(folder, 'server.log')));
    if (!(await postmasterPid(folder))) await start(folder, socketFolder, owner);
    await wait(10);
  }
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

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM';
  }
}

/** The running server's process, from `postmaster.pid`; null when the file is missing or left by a dead one. */
async function postmasterPid(folder: string): Promise<number | null> {
  const file = join(folder, 'postmaster.pid');
  const pid = Number((await readFile(file, 'utf8').catch(() => '')).split('\n')[0]);
  if (!Number.isInteger(pid) || pid <= 0 || !isAlive(pid)) return null;
  // In a container that was restarted the number soon belongs to another program, and PostgreSQL would refuse to start.
  const workingFolder = await readlink(`/proc/${pid}/cwd`).catch(() => null);
  if (workingFolder === null || workingFolder === (await realpath(folder))) return pid;
  await rm(file, { force: true });
  return null;
}

async function start(folder: string, socketFolder: string, owner: Owner): Promise<void> {
  const { postgres, initdb } = await findBinaries(owner !== null);
  await initialise(folder, initdb, owner);
  const log = await open(join(folder, 'server.log'), 'w', 0o600);
  const socket = socketFolder === folder ? seenFrom(folder, owner) : socketFolder;
  const settings = [
    `unix_socket_directories=${socket}`,
    'listen_addresses=',
    'unix_socket_permissions=0700',
    'max_connections=100',
    'shared_buffers=128MB',
    'max_wal_size=2GB',
    'checkpoint_timeout=15min',
  ];
  const words = ['-D', seenFrom(folder, owner), '-p', String(PORT), ...settings.flatMap((each) => ['-c', each])];
  try {
    const child = spawn(postgres, words, {
      ...owner,
      cwd: folder,
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
      env: SERVER_ENVIRONMENT,
    });
    child.on('error', () => undefined);
    child.unref();
    // Give it the moment to write postmaster.pid, or to find that another process was quicker and end.
    await wait(30);
  } finally {
    await log.close();
  }
}

/**
 * How the server names its working folder. Started by root it is another user, who may not pass through the folders
 * above; the kernel's name for the working folder leads there without passing through them.
 */
function seenFrom(folder: string, owner: Owner): string {
  return owner && process.platform === 'linux' ? '/proc/self/cwd' : folder;
}

/** Made beside its place and renamed, so that a killed start leaves no half database and of two starts one wins. */
async function initialise(folder: string, initdb: string, owner: Owner): Promise<void> {
  if (await stat(join(folder, 'PG_VERSION')).catch(() => null)) return;
  await removeHalfMade(folder);
  const making = `${folder}.${process.pid}.${randomUUID()}.new`;
  await mkdir(making, { recursive: true, mode: 0o700 });
  if (owner) await chown(making, owner.uid, owner.gid);
  const flags = ['--auth=trust', `--username=${USER}`, '--encoding=UTF8', '--no-locale', '--data-checksums'];
  try {
    await run(initdb, ['-D', seenFrom(making, owner), ...flags], { ...owner, cwd: making, env: SERVER_ENVIRONMENT });
    await rename(making, folder);
  } catch (error) {
    await rm(making, { recursive: true, force: true });
    if (await stat(join(folder, 'PG_VERSION')).catch(() => null)) return;
    throw cannotStart(folder, String((error as { stderr?: string }).stderr ?? error).trim());
  }
}

/** What killed processes left of databases that they were making. */
async function removeHalfMade(folder: string): Promise<void> {
  const parent = dirname(folder);
  for (const name of await readdir(parent)) {
    const pid = name.startsWith(`${basename(folder)}.`) && name.endsWith('.new') ? Number(name.split('.').at(-3)) : 0;
    if (pid > 0 && !isAlive(pid)) await rm(join(parent, name), { recursive: true, force: true });
  }
}

/** Null: this process's own user. */
type Owner = { readonly uid: number; readonly gid: number } | null;

/** PostgreSQL refuses to run as root: then it runs as the system user `postgres`, which is made where missing. */
async function serverUser(): Promise<Owner> {
  if (process.getuid?.() !== 0) return null;
  // Asking programs takes longer than the rest of a start.
  const known = /^postgres:[^:]*:(\d+):(\d+):/m.exec(await readFile('/etc/passwd', 'utf8').catch(() => ''));
  if (known) return { uid: Number(known[1]), gid: Number(known[2]) };
  const ids = async () => {
    const [uid, gid] = await Promise.all(['-u', '-g'].map((flag) => run('id', [flag, 'postgres'])));
    return { uid: Number(uid?.stdout), gid: Number(gid?.stdout) };
  };
  return ids().catch(async () => {
    await run('groupadd', ['--force', '--system', 'postgres']);
    await run('useradd', ['--system', '--gid', 'postgres', '--no-create-home', 'postgres']).catch(() => undefined);
    return ids();
  });
}

/** The database's own folder holds the socket, unless its path is too long for one. */
async function socketFolderOf(folder: string, owner: Owner): Promise<string> {
  if (Buffer.byteLength(folder) <= MAX_SOCKET_FOLDER) return folder;
  const name = createHash('sha256').update(folder).digest('hex').slice(0, 16);
  const short = join(tmpdir(), `lockgate-${process.getuid?.() ?? 0}-${name}`);
  await mkdir(short, { recursive: true, mode: 0o700 });
  const found = await stat(short);
  const expected = [process.getuid?.(), owner?.uid];
  if (!expected.includes(found.uid)) throw cannotStart(folder, `${short} belongs to another user.`);
  if (owner) await chown(short, owner.uid, owner.gid);
  await chmod(short, 0o700);
  return short;
}

async function lastLines(log: string): Promise<string> {
  return (await readFile(log, 'utf8').catch(() => '')).trim().split('\n').slice(-3).join(' / ');
}

function cannotStart(folder: string, detail: string): LockgateError {
  return new LockgateError(
    'database_not_started',
    `The embedded PostgreSQL in ${folder} did not start: ${detail || 'it left no message'}`,
    'Set DATABASE_URL to a PostgreSQL of yours, or choose another LOCKGATE_DATA_DIR.',
  );
}
