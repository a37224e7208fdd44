import type { Capabilities } from '../contract/connector.ts';
import type { RunStore } from '../contract/run.ts';
import { Hand, type HandParts } from './hand.ts';
import { DEFAULT_LIMITS, type DeletionGuard, type SyncLimits } from './limits.ts';
import { listAndPlan } from './lister.ts';
import { followChanges, withMirror } from './mirror.ts';
import type { Plan } from './plan.ts';
import type { Selection } from './selection.ts';

export interface RunParts extends HandParts {
  readonly listing: Capabilities['listing'];
  readonly store: RunStore;
  readonly select: Selection;
  readonly guard: DeletionGuard;
  /** Leaves of what the listing asks for what may be done; absent: all of it. */
  readonly restrict?: (plan: Plan) => Promise<Plan>;
  /** Where the source's listing begins after a key; absent: only from its beginning. */
  readonly positionAfter?: (key: string) => string;
}

export interface RunResult {
  readonly state: 'completed' | 'needs_approval';
  /** How many documents wait for approval to be removed. */
  readonly missing: number;
}

/**
 * One pass over one source, from its last checkpoint: lists on, fetches what nobody else fetches, waits for what others do, and
 * removes what a complete listing did not have. Throws what ended it early; all that was committed stays, and another
 * call goes on from there.
 */
export async function executeRun(parts: RunParts, outer: AbortSignal): Promise<RunResult> {
  const { store, limits = DEFAULT_LIMITS } = parts;
  const progress = await store.progress();
  const hand = new Hand(parts, outer);
  try {
    if (!progress.approved) await fetchAll(parts, limits, progress, hand);
    hand.signal.throwIfAborted();
    return await removeMissing(parts, limits, progress.approved, hand.signal);
  } finally {
    await hand.end();
  }
}

async function fetchAll(
  parts: RunParts,
  limits: SyncLimits,
  progress: Awaited<ReturnType<RunStore['progress']>>,
  hand: Hand,
): Promise<void> {
  let listed = progress.listingComplete;
  const listing = listed ? Promise.resolve() : list(parts, limits, progress, hand);
  listing.then(
    () => {
      listed = true;
      hand.wake();
    },
    (error) => hand.stop(error),
  );
  try {
    await hand.work(async () => listed && (await parts.store.leftBatches()).left === 0);
  } catch (error) {
    hand.stop(error);
  } finally {
    await listing.catch(() => undefined);
    await hand.settle();
  }
}

async function list(
  parts: RunParts,
  limits: SyncLimits,
  progress: Awaited<ReturnType<RunStore['progress']>>,
  hand: Hand,
): Promise<void> {
  const { source, store, select, clock, restrict, positionAfter } = parts;
  const { signal } = hand;
  const isFresh = progress.parts.every(({ position, through }) => position === null && through === null);
  // Once for a run: what changes at the source after this is for the next one.
  if (parts.listing === 'delta' && isFresh) await followChanges(source, store.mirror, signal);
  const listed = parts.listing === 'delta' ? withMirror(source, store.mirror) : source;
  const listing = { source: listed, store, select, limits, signal, now: clock.now, outlet: hand };
  await listAndPlan(
    { ...listing, ...(restrict ? { restrict } : {}), ...(positionAfter ? { positionAfter } : {}) },
    progress,
  );
}

async function removeMissing(
  parts: RunParts,
  limits: SyncLimits,
  approved: boolean,
  signal: AbortSignal,
): Promise<RunResult> {
  const { store, guard } = parts;
  if (!approved) {
    const { missing, documents } = await store.missingShare();
    if (missing > guard.documents && missing > guard.share * documents) return { state: 'needs_approval', missing };
  }
  while ((await store.removeMissing(limits.removals)) > 0) signal.throwIfAborted();
  return { state: 'completed', missing: 0 };
}
