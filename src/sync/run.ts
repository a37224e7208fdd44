import type { Capabilities, Clock, Source } from '../contract/connector.ts';
import type { ContentStore } from '../contract/content-store.ts';
import { LockgateError } from '../contract/errors.ts';
import type { FetchBatch, RunStore } from '../contract/run.ts';
import { Committer } from './committer.ts';
import { Fetcher } from './fetcher.ts';
import { DEFAULT_LIMITS, type DeletionGuard, type SyncLimits } from './limits.ts';
import { listAndPlan } from './lister.ts';
import { followChanges, withMirror } from './mirror.ts';
import { type Plan, sameVersion } from './plan.ts';
import type { Selection } from './selection.ts';

export interface RunParts {
  readonly source: Source;
  readonly listing: Capabilities['listing'];
  readonly store: RunStore;
  readonly content: ContentStore;
  readonly select: Selection;
  readonly guard: DeletionGuard;
  readonly clock: Clock;
  readonly limits?: SyncLimits;
  /** Leaves of what the listing asks for what may be done; absent: all of it. */
  readonly restrict?: (plan: Plan) => Promise<Plan>;
}

export interface RunResult {
  readonly state: 'completed' | 'needs_approval';
  /** How many documents wait for approval to be removed. */
  readonly missing: number;
}

/** Somebody asked for the run to stop. */
export class RunCancelled extends LockgateError {
  constructor() {
    super('run_cancelled', 'The run was cancelled.');
  }
}

/**
 * One pass over one source, from its last checkpoint: takes up the batches that were left, lists on, fetches, and
 * removes what a complete listing did not have. Throws what ended it early; all that was committed stays, and another
 * call goes on from there.
 */
export async function executeRun(parts: RunParts, outer: AbortSignal): Promise<RunResult> {
  const { store, clock, limits = DEFAULT_LIMITS } = parts;
  const stop = new AbortController();
  const signal = AbortSignal.any([outer, stop.signal]);
  const progress = await store.progress();
  const beats = beat(store, clock, limits.heartbeatMs, stop);
  try {
    if (!progress.approved) await fetchAll(parts, limits, progress, signal, stop);
    signal.throwIfAborted();
    return await removeMissing(parts, limits, progress.approved, signal);
  } finally {
    await beats.end();
  }
}

async function fetchAll(
  parts: RunParts,
  limits: SyncLimits,
  progress: Awaited<ReturnType<RunStore['progress']>>,
  signal: AbortSignal,
  stop: AbortController,
): Promise<void> {
  const { source, store, content, select, clock } = parts;
  const onFatal = (error: unknown) => stop.abort(error);
  const committer = new Committer(store, content, limits, onFatal);
  const fetcher = new Fetcher({ source, content, committer, limits, signal, onFatal });
  try {
    for (const batch of await store.pendingBatches()) await fetcher.submit(batch, await unsettled(store, batch));
    if (!progress.listingComplete) {
      const submit = (batch: FetchBatch) => fetcher.submit(batch);
      // Once for a run: what changes at the source after this is for the next one.
      if (parts.listing === 'delta' && progress.position === null) await followChanges(source, store.mirror, signal);
      const listed = parts.listing === 'delta' ? withMirror(source, store.mirror) : source;
      const restrict = parts.restrict ? { restrict: parts.restrict } : {};
      const listing = { source: listed, store, select, limits, signal, now: clock.now, submit, ...restrict };
      await listAndPlan(listing, progress);
    }
  } catch (error) {
    stop.abort(error);
  } finally {
    await fetcher.drain();
    // Also when the run ends early: what is finished is not fetched again.
    await committer.flush();
  }
  signal.throwIfAborted();
}

/** The entries of a batch that an earlier attempt left: those already committed are not fetched again. */
async function unsettled(store: RunStore, batch: FetchBatch) {
  const rows = await store.indexRows(batch.entries.map((entry) => entry.key));
  const known = new Map(rows.map((row) => [row.key, row]));
  return batch.entries.filter((entry) => {
    const row = known.get(entry.key);
    return !row || !sameVersion(entry, row);
  });
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

/** Keeps telling the database that this run lives, and stops it when somebody cancels it or its store is lost. */
function beat(store: RunStore, clock: Clock, everyMs: number, stop: AbortController): { end(): Promise<void> } {
  const ended = new AbortController();
  const loop = (async () => {
    try {
      for (;;) {
        await clock.sleep(everyMs, ended.signal);
        if ((await store.heartbeat()).cancelRequested) stop.abort(new RunCancelled());
      }
    } catch (error) {
      if (!ended.signal.aborted) stop.abort(error);
    }
  })();
  return {
    end: async () => {
      ended.abort();
      await loop;
    },
  };
}
