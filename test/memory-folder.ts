import { mkdirSync, readdirSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';

const SHARED_MEMORY = '/dev/shm';
const PREFIX = 'lockgate-tests-';
const FOLDER = join(SHARED_MEMORY, `${PREFIX}${process.pid}`);
/** Several times what the tests have in files at once. */
const NEEDED_BYTES = 6 * 1024 ** 3;

/**
 * A folder for what the tests write, in memory where the machine has plenty of it; null where not. Making and dropping hundreds of
 * databases is a quarter of what the tests take on a disk.
 */
export function makeMemoryFolder(): string | null {
  try {
    const { bavail, bsize } = statfsSync(SHARED_MEMORY);
    if (bavail * bsize < NEEDED_BYTES || process.availableMemory() < 2 * NEEDED_BYTES || !runsPrograms()) return null;
    removeLeftOvers();
    // PostgreSQL's own user has to get to what lies in it.
    mkdirSync(FOLDER, { mode: 0o711 });
    return FOLDER;
  } catch {
    return null;
  }
}

export function removeMemoryFolder(): void {
  rmSync(FOLDER, { recursive: true, force: true });
}

/** A copy of PostgreSQL may come to lie there. */
function runsPrograms(): boolean {
  const [, , , options = 'noexec'] =
    readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .map((line) => line.split(' '))
      .findLast(([, place]) => place === SHARED_MEMORY) ?? [];
  return !options.split(',').includes('noexec');
}

/** Of runs that were killed. */
function removeLeftOvers(): void {
  for (const name of readdirSync(SHARED_MEMORY)) {
    if (!name.startsWith(PREFIX)) continue;
    try {
      process.kill(Number(name.slice(PREFIX.length)), 0);
    } catch (error) {
      if ((error as { code?: string }).code === 'ESRCH')
        rmSync(join(SHARED_MEMORY, name), { recursive: true, force: true });
    }
  }
}
