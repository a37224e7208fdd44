import { openRunStore } from '../collections/run-store.ts';
import { finishRun, locateRun, noteCredentialVersion, noteRequests, takeRun } from '../collections/runs.ts';
import { findSource, type SourceRecord } from '../collections/sources.ts';
import type { Clock } from '../contract/connector.ts';
import type { ContentStore } from '../contract/content-store.ts';
import type { Database } from '../contract/database.ts';
import { ConnectorError, describeError, LockgateError } from '../contract/errors.ts';
import { RequestCounts } from '../layers/metered.ts';
import { traced } from '../layers/traced.ts';
import type { Log } from '../log.ts';
import type { SyncLimits } from '../sync/limits.ts';
import { executeRun, RunCancelled } from '../sync/run.ts';
import { compileSelection } from '../sync/selection.ts';
import { openSource, requestFor, type SourceParts } from './open-source.ts';
import { restrictTo } from './plan-run.ts';

const LOCK_ATTEMPTS = 10;
const LOCK_RETRY_MS = 200;

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
}

/**
 * Executes a run, unless another live process does or it has ended. An error ends the run as `failed`. Only when the
 * database is away, the run was taken over or this process is stopping is it thrown, and the run stays as it is for the
 * next attempt.
 */
export async function crawl(parts: CrawlParts, runId: string, signal: AbortSignal): Promise<void> {
  const { db, worker } = parts;
  const run = await locateRun(db, runId);
  if (!run || (run.state !== 'queued' && run.state !== 'running')) return;
  // Of this run and not of its source: a job that is late for an ended run must not make another run's job give way.
  await using lock = await lockSoon(parts, runLock(runId), signal);
  if (!lock) return;
  const taken = await takeRun(db, runId, worker);
  if (!taken) return;
  const source = await findSource(db, run.workspace, run.sourceId);
  const log = parts.log.child({ runId, sourceId: source.id, collection: source.collection });
  log.info({ attempt: taken.attempt, path: source.path }, 'run started');
  const owned = {
    id: runId,
    attempt: taken.attempt,
    sourceId: source.id,
    collectionId: source.collectionId,
    planId: run.planId,
  };
  try {
    const about = { 'lockgate.run_id': runId, 'lockgate.source_id': source.id, 'lockgate.attempt': taken.attempt };
    const { state, missing } = await traced({ name: 'run', kind: 'consumer', attributes: about }, () =>
      execute(parts, source, owned, signal),
    );
    await finishRun(db, runId, taken.attempt, state, null, missing);
    log.info({ state, missing }, 'run ended');
  } catch (error) {
    if (signal.aborted || isInterruption(error)) {
      log.warn({ error: describeError(error) }, 'run interrupted');
      throw error;
    }
    const state = error instanceof RunCancelled ? 'cancelled' : 'failed';
    const reason = state === 'failed' ? describeError(error) : null;
    await finishRun(db, runId, taken.attempt, state, reason, 0);
    log.warn({ state, error: reason }, 'run ended');
  }
}

/** Gives PostgreSQL the moment that it takes to notice that a killed worker's session has ended. */
async function lockSoon({ db, clock }: CrawlParts, name: string, signal: AbortSignal): Promise<AsyncDisposable | null> {
  for (let attempt = 1; ; attempt++) {
    const lock = await db.tryLock(name);
    if (lock || attempt === LOCK_ATTEMPTS) return lock;
    await clock.sleep(LOCK_RETRY_MS, signal);
  }
}

/** The name of the lock that the process holds which executes a run. */
export function runLock(runId: string): string {
  return `run ${runId}`;
}

async function execute(
  parts: CrawlParts,
  record: SourceRecord,
  run: { id: string; attempt: number; sourceId: string; collectionId: string; planId: string | null },
  signal: AbortSignal,
) {
  const meter = new RequestCounts();
  const { source, listing, credentialVersion } = await openSource(
    requestFor(record, { actor: `worker ${parts.worker}`, reason: 'sync', runId: run.id, sourceId: record.id }),
    { ...parts.sourceParts(record.workspace), meter },
  );
  await using _closing = source;
  const opened = credentialVersion();
  await noteCredentialVersion(parts.db, run.id, opened);
  try {
    return await executeRun(
      {
        source,
        listing,
        store: openRunStore(parts.db, run),
        content: parts.content,
        select: compileSelection(record),
        // What a plan removes somebody has read and asked for.
        guard: run.planId ? NO_GUARD : { documents: record.guardDocuments, share: record.guardShare },
        ...(run.planId ? { restrict: restrictTo(parts.db, run.planId) } : {}),
        clock: parts.clock,
        ...(parts.limits ? { limits: parts.limits } : {}),
      },
      signal,
    );
  } catch (error) {
    throw withVersion(error, record.credentialId, credentialVersion());
  } finally {
    const used = credentialVersion();
    if (used !== opened) await noteCredentialVersion(parts.db, run.id, used).catch(() => undefined);
    // How the run ended matters more than that these were lost.
    await noteRequests(parts.db, run.id, meter).catch(() => undefined);
  }
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
