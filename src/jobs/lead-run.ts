import { type Caps, type Taken, takeRun } from '../collections/hands.ts';
import { whoLeads } from '../collections/runs.ts';
import type { Clock } from '../contract/connector.ts';
import type { Database } from '../contract/database.ts';

const ATTEMPTS = 10;
const RETRY_MS = 200;

/** A run that this process leads until it is disposed of, or is not heard of for too long. */
export interface Lead extends Omit<Extract<Taken, { kind: 'taken' }>, 'kind'>, AsyncDisposable {}

/**
 * Takes the lead of an unfinished run, unless another live process has it: one that holds the lock of its attempt and has been
 * heard of. PostgreSQL frees the lock of a killed one at once; one that hangs, or that the network keeps away, keeps its lock and
 * is given up when its heartbeat is old. `waits`: as many are at work as may be. Null: there is nothing to lead.
 */
export async function leadRun(
  { db, clock }: { readonly db: Database; readonly clock: Clock },
  runId: string,
  worker: string,
  caps: Caps,
  signal: AbortSignal,
): Promise<Lead | 'waits' | null> {
  for (let tries = 1; ; tries++) {
    const now = await whoLeads(db, runId);
    if (!now) return null;
    const lock = await db.tryLock(turn(runId, now.attempt + 1));
    // Another process is just taking it.
    if (!lock) return null;
    let kept = false;
    try {
      if (!now.isLed || now.isSilent || (await isFree(db, turn(runId, now.attempt)))) {
        const taken = await takeRun(db, runId, worker, caps, now.attempt);
        if (taken.kind === 'full') return 'waits';
        if (taken.kind === 'ended') return null;
        kept = true;
        return { ...taken, [Symbol.asyncDispose]: () => lock[Symbol.asyncDispose]() };
      }
    } finally {
      if (!kept) await lock[Symbol.asyncDispose]();
    }
    // PostgreSQL takes a moment to notice that a killed process's session has ended.
    if (tries === ATTEMPTS) return null;
    await clock.sleep(RETRY_MS, signal);
  }
}

/** The name of the lock that the process holds which leads an attempt. */
function turn(runId: string, attempt: number): string {
  return `run ${runId} ${attempt}`;
}

async function isFree(db: Database, name: string): Promise<boolean> {
  const lock = await db.tryLock(name);
  await lock?.[Symbol.asyncDispose]();
  return lock !== null;
}
