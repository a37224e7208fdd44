import { hash } from 'node:crypto';
import { openHandStore } from '../collections/hand-store.ts';
import { type Caps, joinRun, leaveRun, yieldRun } from '../collections/hands.ts';
import { type OwnedRun, openRunStore } from '../collections/run-store.ts';
import { finishRun, locateRun, noteCredentialVersion, noteRequests } from '../collections/runs.ts';
import { findSource, noteQuota, type SourceRecord } from '../collections/sources.ts';
import type { Clock } from '../contract/connector.ts';
import type { ContentStore } from '../contract/content-store.ts';
import type { Database } from '../contract/database.ts';
import { ConnectorError, describeError, LockgateError } from '../contract/errors.ts';
import { RequestCounts } from '../layers/metered.ts';
import { traced } from '../layers/traced.ts';
import type { Log } from '../log.ts';
import { helpRun, RunCancelled } from '../sync/hand.ts';
import type { SyncLimits } from '../sync/limits.ts';
import { executeRun } from '../sync/run.ts';
import { compileSelection } from '../sync/selection.ts';
import { leadRun } from './lead-run.ts';
import { type OpenedSource, openSource, requestFor, type SourceParts } from './open-source.ts';
import { restrictTo } from './plan-run.ts';

export interface CrawlParts {
  readonly db: Database;
  readonly content: ContentStore;
  /** What opens a source of a workspace. */
  readonly sourceParts: (workspace: string) => SourceParts;
  readonly clock: Clock;
  readonly log: Log;
  /** Names this process in the run's record. */
  readonly worker: string;
  readonly limits?: SyncLimits;
  /** How many may be at work at once. */
  readonly caps: Caps;
}

/** The run gives way to others, and goes on later from its checkpoint. */
export class RunYielded extends LockgateError {
  constructor() {
    super('run_yielded', 'The run gives way to others that wait.');
  }
}

/** `waits`: as many are at work as may be; `yielded`: it is to be queued again. */
export type CrawlEnd = 'ended' | 'waits' | 'yielded';

/** Workers in a row that may end while they work on a run, without its getting any further. */
const MOST_STALLED = 10;

/**
 * Executes a run, unless another live process does or it has ended. An error ends the run as `failed`. Only when the
 * database is away, the run was taken over or this process is stopping is it thrown, and the run stays as it is for the
 * next attempt.
 */
export async function crawl(parts: CrawlParts, runId: string, signal: AbortSignal): Promise<CrawlEnd> {
  const { db, worker } = parts;
  const run = await locateRun(db, runId);
  if (!run || (run.state !== 'queued' && run.state !== 'running')) return 'ended';
  const lead = await leadRun(parts, runId, worker, parts.caps, signal);
  if (lead === 'waits') return 'waits';
  if (!lead) return 'ended';
  await using taken = lead;
  const source = await findSource(db, run.workspace, run.sourceId);
  const log = parts.log.child({ runId, sourceId: source.id, collection: source.collection });
  log.info({ attempt: taken.attempt, path: source.path }, 'run started');
  const { attempt, hand } = taken;
  const owned = { id: runId, attempt, hand, sourceId: source.id, collectionId: source.collectionId };
  try {
    if (taken.stalled > MOST_STALLED) throw stalled(taken.stalled);
    const about = { 'lockgate.run_id': runId, 'lockgate.source_id': source.id, 'lockgate.attempt': attempt };
    const { state, missing } = await traced({ name: 'run', kind: 'consumer', attributes: about }, () =>
      execute(parts, source, { ...owned, planId: run.planId }, signal),
    );
    await finishRun(db, runId, attempt, state, null, missing);
    log.info({ state, missing }, 'run ended');
  } catch (error) {
    if (error instanceof RunYielded && (await yieldRun(db, runId, attempt))) {
      log.info('run gives way');
      return 'yielded';
    }
    if (signal.aborted || isInterruption(error)) {
      log.warn({ error: describeError(error) }, 'run interrupted');
      throw error;
    }
    const state = error instanceof RunCancelled ? 'cancelled' : 'failed';
    const reason = state === 'failed' ? describeError(error) : null;
    await finishRun(db, runId, attempt, state, reason, 0);
    log.warn({ state, error: reason }, 'run ended');
  }
  return 'ended';
}

/**
 * Fetches some of what a run that another worker leads has found, until nobody needs a hand or `isEnough`. False: it was not
 * needed.
 */
export async function help(
  parts: CrawlParts,
  runId: string,
  most: number,
  isEnough: () => boolean,
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
      await helpRun({ source, store, content, clock, ...(limits ? { limits } : {}) }, isEnough, signal);
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

function stalled(attempts: number): LockgateError {
  return new LockgateError(
    'run_stalled',
    `${attempts} workers in a row ended while they were working on this run, and it got no further.`,
    'See what the workers logged when they ended: too little memory or disk space, for example. Then: lockgate runs retry',
  );
}

async function execute(
  parts: CrawlParts,
  record: SourceRecord,
  run: Omit<OwnedRun, 'rules'> & { planId: string | null },
  signal: AbortSignal,
) {
  return withSource(parts, record, run.id, async ({ source, listing, positionAfter }) =>
    executeRun(
      {
        source,
        listing,
        store: openRunStore(parts.db, { ...run, rules: rulesOf(record) }),
        content: parts.content,
        select: compileSelection(record),
        // What a plan removes somebody has read and asked for.
        guard: run.planId ? NO_GUARD : { documents: record.guardDocuments, share: record.guardShare },
        ...(run.planId ? { restrict: restrictTo(parts.db, run.planId) } : {}),
        ...(positionAfter ? { positionAfter } : {}),
        clock: parts.clock,
        ...(parts.limits ? { limits: parts.limits } : {}),
      },
      signal,
    ),
  );
}

/** Has the source opened for a run, and writes down what it took. */
async function withSource<T>(
  parts: CrawlParts,
  record: SourceRecord,
  runId: string,
  work: (opened: OpenedSource) => Promise<T>,
): Promise<T> {
  const { db } = parts;
  const meter = new RequestCounts();
  const opened = await openSource(
    requestFor(record, { actor: `worker ${parts.worker}`, reason: 'sync', runId, sourceId: record.id }),
    { ...parts.sourceParts(record.workspace), meter },
  );
  await using _closing = opened.source;
  const first = opened.credentialVersion();
  await noteCredentialVersion(db, runId, first);
  if (record.quota !== opened.quota) await noteQuota(db, record.id, opened.quota);
  try {
    return await work(opened);
  } catch (error) {
    throw withVersion(error, record.credentialId, opened.credentialVersion());
  } finally {
    const used = opened.credentialVersion();
    if (used !== first) await noteCredentialVersion(db, runId, used).catch(() => undefined);
    // How the run ended matters more than that these were lost.
    await noteRequests(db, runId, meter).catch(() => undefined);
  }
}

/** What decides which entries of a listing become documents, and under which paths. */
function rulesOf({ path, settings, include, exclude, maxBytes }: SourceRecord): string {
  return hash('sha256', JSON.stringify([path, settings, include, exclude, maxBytes]));
}

const NO_GUARD = { documents: Number.POSITIVE_INFINITY, share: 1 };

/** A source that does not take the credential: which version that was. */
function withVersion(error: unknown, id: string, version: string): unknown {
  if (!(error instanceof ConnectorError) || !REJECTIONS.includes(error.code)) return error;
  const { code, message, operation, status, requestId, hint } = error;
  return new ConnectorError(code, `${message} The credential was "${id}", version ${version}.`, {
    operation,
    retryable: false,
    ...(status ? { status } : {}),
    ...(requestId ? { requestId } : {}),
    ...(hint ? { hint } : {}),
  });
}

const REJECTIONS: readonly string[] = ['credential_rejected', 'permission_denied'];

/** What says nothing of the run: another attempt goes on from the checkpoint, or another worker already has. */
const INTERRUPTIONS: readonly string[] = ['run_lost', 'database_unavailable'];

function isInterruption(error: unknown): boolean {
  return error instanceof LockgateError && INTERRUPTIONS.includes(error.code);
}
