import { hash } from 'node:crypto';
import { type PutOffFor, putOffRun, yieldRun } from '../collections/hands.ts';
import { type OwnedRun, openRunStore } from '../collections/run-store.ts';
import { finishRun, locateRun } from '../collections/runs.ts';
import { findSource, type SourceRecord } from '../collections/sources.ts';
import { ConnectorError, describeError, LockgateError } from '../contract/errors.ts';
import { every } from '../contract/every.ts';
import { traced } from '../layers/traced.ts';
import type { Log } from '../log.ts';
import { RunCancelled } from '../sync/hand.ts';
import { DEFAULT_LIMITS } from '../sync/limits.ts';
import { executeRun } from '../sync/run.ts';
import { compileSelection } from '../sync/selection.ts';
import type { HelpParts } from './help.ts';
import { leadRun } from './lead-run.ts';
import { restrictTo } from './plan-run.ts';
import { withSource } from './run-source.ts';

export interface CrawlParts extends HelpParts {
  readonly log: Log;
  /** Threads of this process that help with the fetches of a run; absent: there are none. */
  readonly threads?: RunThreads;
}

export interface RunThreads {
  /** Those for one run, until they are disposed of: none, until they are called. */
  of(runId: string): CalledThreads;
}

export interface CalledThreads extends AsyncDisposable {
  /** There is so much to fetch that the listing waits. May be called again and again. */
  call(): void;
}

/** The run gives way to others, and goes on later from its checkpoint. */
export class RunYielded extends LockgateError {
  constructor() {
    super('run_yielded', 'The run gives way to others that wait.');
  }
}

/** `waits`: as many are at work as may be, or it was put off; `yielded`: it is to be queued again. */
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
    const waitsFor = waitsForOf(error);
    if (waitsFor && (await putOffRun(db, runId, attempt, waitsFor, describeError(error)))) {
      log.warn({ waitsFor, error: describeError(error) }, 'run put off');
      return 'waits';
    }
    const state = error instanceof RunCancelled ? 'cancelled' : 'failed';
    const reason = state === 'failed' ? describeError(error) : null;
    await finishRun(db, runId, attempt, state, reason, 0);
    log.warn({ state, error: reason }, 'run ended');
  }
  return 'ended';
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
  const store = openRunStore(parts.db, { ...run, rules: rulesOf(record) });
  const { heartbeatMs } = parts.limits ?? DEFAULT_LIMITS;
  // A run of which nothing is heard is given to another worker, and a secret manager may take longer than that to answer. Who has lost it hears so later.
  const isOpen = new AbortController();
  const beats = every(parts.clock, heartbeatMs, isOpen.signal, () => store.heartbeat());
  try {
    return await withSource(parts, record, run.id, async ({ source, listing, positionAfter }) => {
      isOpen.abort();
      await using threads = parts.threads?.of(run.id);
      return await executeRun(
        {
          source,
          listing,
          store,
          content: parts.content,
          select: compileSelection(record),
          // What a plan removes somebody has read and asked for.
          guard: run.planId ? NO_GUARD : { documents: record.guardDocuments, share: record.guardShare },
          ...(run.planId ? { restrict: restrictTo(parts.db, run.planId) } : {}),
          ...(positionAfter ? { positionAfter } : {}),
          clock: parts.clock,
          onPlenty: () => threads?.call(),
          ...(parts.limits ? { limits: parts.limits } : {}),
        },
        signal,
      );
    });
  } finally {
    isOpen.abort();
    await beats;
  }
}

/** What decides which entries of a listing become documents, and under which paths. */
function rulesOf({ path, settings, include, exclude, maxBytes }: SourceRecord): string {
  return hash('sha256', JSON.stringify([path, settings, include, exclude, maxBytes]));
}

const NO_GUARD = { documents: Number.POSITIVE_INFINITY, share: 1 };

/** Who is away when a run ends with such an error, which passes by itself. */
const AWAY: ReadonlyMap<string, PutOffFor> = new Map([
  ['secret_manager_unavailable', 'secrets'],
  ['secret_manager_throttled', 'secrets'],
  ['unavailable', 'source'],
  ['timeout', 'source'],
  ['content_store_unavailable', 'content'],
]);

function waitsForOf(error: unknown): PutOffFor | null {
  if (!(error instanceof LockgateError) || (error instanceof ConnectorError && !error.retryable)) return null;
  return AWAY.get(error.code) ?? null;
}

/** What says nothing of the run: another attempt goes on from the checkpoint, or another worker already has. */
const INTERRUPTIONS: readonly string[] = ['run_lost', 'database_unavailable'];

function isInterruption(error: unknown): boolean {
  return error instanceof LockgateError && INTERRUPTIONS.includes(error.code);
}
