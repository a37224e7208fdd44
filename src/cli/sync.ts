import { setTimeout as wait } from 'node:timers/promises';
import { findCollection } from '../collections/collections.ts';
import { findRun, type RunRecord, requestRun } from '../collections/runs.ts';
import { findSource, listSources } from '../collections/sources.ts';
import { InputError, LockgateError } from '../contract/errors.ts';
import type { App } from '../main.ts';
import { EXIT } from './exit.ts';
import { bytes, type Globals, plural, print, printJson } from './present.ts';
import { showProgress } from './progress.ts';
import { approvalText } from './runs.ts';
import { withApp } from './session.ts';

const POLL_MS = 200;
/** Sources synced at once by this process. */
const CONCURRENT_RUNS = 4;

/** Queues a run for each source, works the queue in this process, and waits for the runs, whoever executes them. */
export function sync(globals: Globals, name: string, options: { source?: string }): Promise<void> {
  return withApp(async (app) => {
    const sourceIds = await sourcesOf(app, name, options.source);
    const db = await app.database();
    const queue = await app.queue();
    await (await app.content()).sweep();
    const runIds: string[] = [];
    for (const id of sourceIds) {
      const runId = await requestRun(db, id, 'manual');
      await queue.send(runId);
      runIds.push(runId);
    }
    const stop = new AbortController();
    const interrupted = () => stop.abort(new LockgateError('interrupted', 'Interrupted.'));
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupted);
    await queue.work(CONCURRENT_RUNS, (runId) => app.crawl(runId, stop.signal));
    const runs = await watch(app, runIds, stop.signal, globals.json);
    stop.abort(new LockgateError('interrupted', 'This process is ending.'));
    await queue.stop();
    report(globals, runs);
  });
}

async function sourcesOf(app: App, name: string, sourceId: string | undefined): Promise<string[]> {
  const db = await app.database();
  const collection = await findCollection(db, app.config.workspace, name);
  if (sourceId !== undefined) {
    const source = await findSource(db, app.config.workspace, sourceId);
    if (source.collectionId === collection.id) return [source.id];
    throw new InputError('source_not_found', `The source belongs to the collection "${source.collection}".`);
  }
  const sources = await listSources(db, app.config.workspace, collection.id);
  if (sources.length > 0) return sources.map(({ id }) => id);
  throw new LockgateError(
    'no_sources',
    `The collection "${name}" has no source.`,
    `Add one: lockgate sources add --collection ${name} --help`,
  );
}

async function watch(app: App, runIds: readonly string[], signal: AbortSignal, silent: boolean): Promise<RunRecord[]> {
  const db = await app.database();
  const progress = showProgress(silent);
  try {
    for (;;) {
      const runs = await Promise.all(runIds.map((id) => findRun(db, app.config.workspace, id)));
      progress.update(runs);
      const ended = runs.every((run) => run.state !== 'queued' && run.state !== 'running');
      if (ended || signal.aborted) return runs;
      await wait(POLL_MS, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    progress.end();
  }
}

function report(globals: Globals, runs: readonly RunRecord[]): void {
  process.exitCode = exitCode(runs);
  if (globals.json) return printJson({ runs });
  for (const run of runs) {
    print(`${run.path}: ${run.state}. ${figures(run)}`);
    if (run.error) print(`  ${run.error.message}${run.error.hint ? `\n  ${run.error.hint}` : ''}`);
    if (run.failed > 0)
      print(
        `  ${plural(run.failed, 'document')} not fetched; the next run tries again. Why: lockgate runs show ${run.id}`,
      );
    if (run.state === 'needs_approval') print(`  ${approvalText(run)}`);
    if (run.state === 'running' || run.state === 'queued')
      print('  Interrupted. Run it again to go on from where it was.');
  }
}

function figures(run: RunRecord): string {
  const { added, changed, moved, removed, unchanged, excluded } = run;
  return `${added} added, ${changed} changed, ${moved > 0 ? `${moved} moved, ` : ''}${removed} removed, ${unchanged} unchanged, ${excluded} left out; ${bytes(run.bytes)} fetched.`;
}

function exitCode(runs: readonly RunRecord[]): number {
  const has = (...states: RunRecord['state'][]) => runs.some((run) => states.includes(run.state));
  if (has('running', 'queued')) return EXIT.interrupted;
  if (has('failed', 'cancelled', 'superseded')) return EXIT.failed;
  if (has('needs_approval')) return EXIT.approval;
  return runs.some((run) => run.failed > 0) ? EXIT.partial : EXIT.ok;
}
