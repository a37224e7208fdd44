import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { createNew } from './new-file.ts';

const RETRY_MS = 5;
/** How many turns' files are kept. */
const RECENT = 50;
/** Threads of one process have its number, and each this module of its own. */
const INSTANCE = randomUUID();

/**
 * One turn at a time among all processes that use the folder. Each turn has a number; whoever creates the file of the
 * next number has it, and gives it back by a second file. A turn whose process has died is passed over. No file of a
 * recent turn is renamed or removed: a reader of the folder may miss what changes while it reads, so that what it must
 * not miss stands still, and a process that was slow to look finds the number that it wants taken.
 */
export async function takeTurn(folder: string, timeoutMs: number): Promise<() => Promise<void>> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const until = Date.now() + timeoutMs;
  const me = `${process.pid} ${await startOf(process.pid)} ${INSTANCE}`;
  for (;;) {
    const last = await lastTurn(folder);
    if (last.free || !(await isAlive(last.owner, me))) {
      const number = last.number + 1;
      if (await createNew(join(folder, held(number)), me, 0o600, false)) {
        if ((await isLast(folder, number)) && (await isLast(folder, number))) return () => giveBack(folder, number);
        await rm(join(folder, held(number)), { force: true });
      }
    }
    if (Date.now() > until) throw new Error('no turn in time');
    await wait(RETRY_MS);
  }
}

interface Turn {
  readonly number: number;
  readonly free: boolean;
  readonly owner: string;
}

async function lastTurn(folder: string): Promise<Turn> {
  const names = new Set(await readdir(folder));
  let number = 0;
  for (const name of names) {
    const found = /^(\d+)\.held$/.exec(name)?.[1];
    if (found) number = Math.max(number, Number(found));
  }
  const free = number === 0 || names.has(given(number));
  const owner = free ? '' : await readFile(join(folder, held(number)), 'utf8').catch(() => '');
  return { number, free, owner };
}

async function isLast(folder: string, number: number): Promise<boolean> {
  return (await lastTurn(folder)).number === number;
}

async function giveBack(folder: string, number: number): Promise<void> {
  await writeFile(join(folder, given(number)), '', { mode: 0o600 });
  for (const name of await readdir(folder)) {
    if (Number.parseInt(name, 10) < number - RECENT) await rm(join(folder, name), { force: true });
  }
}

function given(number: number): string {
  return `${number}.free`;
}

function held(number: number): string {
  return `${number}.held`;
}

/** A process number alone may be another's by now, so the time of its start goes with it. Empty: it was just given back. */
async function isAlive(owner: string, me: string): Promise<boolean> {
  if (owner === '') return true;
  // Turns of this module are taken one after another: what it still holds, it has lost.
  if (owner === me) return false;
  const [pid, start] = owner.split(' ');
  const now = await startOf(Number(pid));
  if (now !== null) return String(now) === start;
  if (start !== 'null') return false;
  try {
    process.kill(Number(pid), 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM';
  }
}

/** In ticks since the machine started; null where the system does not say, or there is no such process. */
async function startOf(pid: number): Promise<string | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  // The name of the program, in parentheses, may have spaces.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
}
