import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { chmod, chown, mkdir, open, readdir, readFile, readlink, realpath, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { LockgateError } from '../contract/errors.ts';
import { findBinaries } from './binaries.ts';

/*
 * The embedded PostgreSQL as a process. Nothing here talks with it, so that it can be started before what does is loaded.
 */

const run = promisify(execFile);
export const USER = 'lockgate';
export const PORT = 5432;
/** The longest socket path that the kernel takes, less the name that PostgreSQL adds. */
const MAX_SOCKET_FOLDER = 107 - '/.s.PGSQL.5432.lock'.length;
/** In which a server writes `postmaster.pid`, or finds that another process was quicker, and ends; how often it is looked, in milliseconds. */
const BEGIN_MS = 20_000;
const LOOK_MS = 5;
/** Of `postmaster.pid`: https://git.postgresql.org/gitweb/?p=postgresql.git;a=blob;f=src/include/utils/pidfile.h */
const STATUS_LINE = 7;

/** All that the server sees of the environment. */
const SERVER_ENVIRONMENT = { LC_ALL: 'C', TZ: 'UTC' };

interface Start {
  readonly spawned: Promise<unknown>;
  readonly begun: Promise<void>;
}

const starts = new Map<string, Start>();

/** Has the server of `folder` run, which is made when it is not there. It may not answer yet. */
export async function startServer(folder: string): Promise<void> {
  if (starts.has(folder) || !(await postmasterPid(folder))) await start(folder).begun;
}

/** The same for one that was made before; returns as soon as it has been started. False: it runs already, or was never made. */
export async function startAhead(folder: string): Promise<boolean> {
  if (!(await isMade(folder)) || (await postmasterPid(folder))) return false;
  await start(folder).spawned;
  return true;
}

/** When a start that is under way has either begun or failed. */
export async function begun(folder: string): Promise<void> {
  await starts.get(folder)?.begun.catch(() => undefined);
}

/** Once at a time, whoever asks for it. */
function start(folder: string): Start {
  const underWay = starts.get(folder);
  if (underWay) return underWay;
  const spawned = spawnServer(folder);
  const begun = spawned.then((child) => beginning(folder, child)).finally(() => starts.delete(folder));
  begun.catch(() => undefined);
  const started = { spawned, begun };
  starts.set(folder, started);
  return started;
}

/** Resolves when the server of the folder can be found, or this one has ended. */
async function beginning(folder: string, child: ChildProcess): Promise<void> {
  const until = Date.now() + BEGIN_MS;
  const hasEnded = () => child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
  while (!hasEnded() && Date.now() < until && !(await postmasterPid(folder))) await wait(LOOK_MS);
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM';
  }
}

/** The running server's process, from `postmaster.pid`; null when the file is missing or left by a dead one. */
export async function postmasterPid(folder: string): Promise<number | null> {
  const file = join(folder, 'postmaster.pid');
  const pid = Number((await readFile(file, 'utf8').catch(() => '')).split('\n')[0]);
  if (!Number.isInteger(pid) || pid <= 0 || !isAlive(pid)) return null;
  // In a container that was restarted the number soon belongs to another program, and PostgreSQL would refuse to start.
  const workingFolder = await readlink(`/proc/${pid}/cwd`).catch(() => null);
  if (workingFolder === null || workingFolder === (await realpath(folder))) return pid;
  await rm(file, { force: true });
  return null;
}

/** Whether the running server takes connections, as it says in `postmaster.pid`. */
export async function isReady(folder: string): Promise<boolean> {
  const lines = (await readFile(join(folder, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
  return lines[STATUS_LINE]?.trim() === 'ready';
}

async function spawnServer(folder: string): Promise<ChildProcess> {
  const owner = await serverUser();
  const [socketFolder, { postgres, initdb }] = await Promise.all([
    socketFolderOf(folder, owner),
    findBinaries(owner !== null),
  ]);
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
    // A first sync fills many files of the log: each would be written twice.
    'wal_init_zero=off',
    'checkpoint_timeout=15min',
    // Each command starts a server and stops it again: without what it does not need, that takes a quarter less.
    'io_method=sync',
    'wal_level=minimal',
    'max_wal_senders=0',
    'max_replication_slots=0',
    'max_logical_replication_workers=0',
    'max_worker_processes=4',
    'autovacuum_worker_slots=3',
    'max_files_per_process=300',
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
    return child;
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
  if (await isMade(folder)) return;
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
    if (await isMade(folder)) return;
    throw cannotStart(folder, String((error as { stderr?: string }).stderr ?? error).trim());
  }
}

function isMade(folder: string): Promise<boolean> {
  return stat(join(folder, 'PG_VERSION')).then(
    () => true,
    () => false,
  );
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

/** Where the socket of a server is. */
export async function socketFolder(folder: string): Promise<string> {
  return socketFolderOf(folder, await serverUser());
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

export async function lastLines(folder: string): Promise<string> {
  const log = join(folder, 'server.log');
  return (await readFile(log, 'utf8').catch(() => '')).trim().split('\n').slice(-3).join(' / ');
}

export function cannotStart(folder: string, detail: string): LockgateError {
  return new LockgateError(
    'database_not_started',
    `The embedded PostgreSQL in ${folder} did not start: ${detail || 'it left no message'}`,
    'Set DATABASE_URL to a PostgreSQL of yours, or choose another LOCKGATE_DATA_DIR.',
  );
}
