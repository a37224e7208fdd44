import { openHandStore } from '../collections/hand-store.ts';
import { type Caps, joinRun, leaveRun } from '../collections/hands.ts';
import { locateRun } from '../collections/runs.ts';
import { findSource } from '../collections/sources.ts';
import type { Clock } from '../contract/connector.ts';
import type { ContentStore } from '../contract/content-store.ts';
import { LockgateError } from '../contract/errors.ts';
import { type HelpTerms, helpRun } from '../sync/hand.ts';
import type { SyncLimits } from '../sync/limits.ts';
import { type RunSourceParts, withSource } from './run-source.ts';

export interface HelpParts extends RunSourceParts {
  readonly content: ContentStore;
  readonly clock: Clock;
  readonly limits?: SyncLimits;
  /** How many may be at work at once. */
  readonly caps: Caps;
}

/**
 * Fetches some of what a run that another hand leads has found, until nobody needs one more or `terms` have it end. `most`: hands on the
 * run, its leader's counted. False: it was not needed.
 */
export async function help(
  parts: HelpParts,
  runId: string,
  most: number,
  terms: HelpTerms,
  signal: AbortSignal,
): Promise<boolean> {
  const { db, worker } = parts;
  const run = await locateRun(db, runId);
  if (!run) return false;
  const hand = await joinRun(db, runId, worker, most, parts.caps);
  if (!hand) return false;
  try {
    const record = await findSource(db, run.workspace, run.sourceId);
    const helped = { id: runId, hand, sourceId: record.id, collectionId: record.collectionId };
    await withSource(parts, record, runId, async ({ source }) => {
      const { clock, content, limits } = parts;
      const store = openHandStore(db, helped);
      await helpRun({ source, store, content, clock, ...(limits ? { limits } : {}) }, terms, signal);
    });
    return true;
  } catch (error) {
    // The run has ended, or was given to another leader.
    if (error instanceof LockgateError && error.code === 'run_lost') return true;
    throw error;
  } finally {
    await leaveRun(db, hand).catch(() => undefined);
  }
}
