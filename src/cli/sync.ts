import { setTimeout as wait } from 'node:timers/promises';
import type { Answer } from '../contract/api/index.ts';
import { InputError, LockgateError } from '../contract/errors.ts';
import type { App } from '../main.ts';
import { EXIT } from './exit.ts';
import { bytes, type Globals, plural, print, printJson, printTable } from './present.ts';
import { showProgress } from './progress.ts';
import { approvalText } from './runs.ts';
import { type Call, withSession } from './session.ts';

const POLL_MS = 200;
const WAIT_MS = 1000;
const ITEMS_SHOWN = 200;
/** Sources synced at once by this process. */
const CONCURRENT_RUNS = 4;

type Run = Omit<Answer<'runs.get'>, 'failures'>;

interface SyncOptions {
  readonly source?: string;
  readonly dryRun?: boolean;
}

/** Queues a run for each source, works the queue in this process or has the service do it, and waits for the runs. */
export function sync(globals: Globals, name: string, options: SyncOptions): Promise<void> {
  return withSession(async ({ call, app }) => {
    // Loaded while the database starts; what keeps it from opening is told below.
    if (!options.dryRun) app?.queue().catch(() => undefined);
    const sources = await sourcesOf(call, name, options.source);
    const sourceIds = sources.map(({ id }) => id);
    // The database is at work on the queue: meanwhile what the runs need is loaded.
    for (const { connectorType } of sources) app?.prepare(connectorType);
    if (options.dryRun) return plan(globals, call, sourceIds);
    const stop = new AbortController();
    const interrupted = () => stop.abort(new LockgateError('interrupted', 'Interrupted.'));
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupted);
    if (app) await (await app.content()).sweep();
    const runIds: string[] = [];
    for (const id of sourceIds) runIds.push((await call('sources.sync', { id })).id);
    const queue = app ? await app.queue() : null;
    let done = new AbortController();
    await queue?.work((app as App).config.crew, CONCURRENT_RUNS, async (runId) => {
      // What has to wait is asked for again by the sweeps of the workers, or here.
      while ((await (app as App).crawl(runId, stop.signal)) === 'waits')
        await wait(WAIT_MS, undefined, { signal: stop.signal });
      done.abort();
      done = new AbortController();
    });
    const runs = await watch(call, runIds, stop.signal, globals.json, () => done.signal);
    stop.abort(new LockgateError('interrupted', 'This process is ending.'));
    await queue?.stop();
    report(globals, runs);
  });
}

type Listed = Pick<Answer<'sources.get'>, 'id' | 'connectorType'>;

async function sourcesOf(call: Call, name: string, sourceId: string | undefined): Promise<readonly Listed[]> {
  const { sourceList, id } = await call('collections.get', { collection: name });
  if (sourceId !== undefined) {
    const source = await call('sources.get', { id: sourceId });
    if (source.collectionId === id) return [source];
    throw new InputError('source_not_found', `The source belongs to the collection "${source.collection}".`);
  }
  if (sourceList.length > 0) return sourceList;
  throw new LockgateError(
    'no_sources',
    `The collection "${name}" has no source.`,
    `Add one: lockgate sources add --collection ${name} --help`,
  );
}

/** Lists and compares, and says what a sync would do. */
async function plan(globals: Globals, call: Call, sourceIds: readonly string[]): Promise<void> {
  const plans = [];
  for (const id of sourceIds) {
    const made = await call('sources.plan', { id });
    const { items } = await call('plans.items', { id: made.id, limit: ITEMS_SHOWN });
    plans.push({ ...made, items });
  }
  if (plans.some(({ state }) => state === 'failed')) process.exitCode = EXIT.failed;
  if (globals.json) return printJson({ plans });
  for (const { items, ...each } of plans) {
    if (each.error) {
      print(`${each.error.message}${each.error.hint ? `\n${each.error.hint}` : ''}`);
      continue;
    }
    print(
      `Would add ${each.add}, change ${each.change}, move ${each.move}, remove ${each.remove}, leave out ${each.skip}; ${each.unchanged} are unchanged. ${bytes(each.bytes)} to fetch.`,
    );
    printTable(
      ['what', 'path', 'size', 'why'],
      items.map((item) => [item.action, item.path, item.size === null ? null : bytes(item.size), item.reason]),
      '',
    );
    const changes = each.add + each.change + each.move + each.remove;
    if (changes > 0) print(`Do exactly this: lockgate plans execute ${each.id}`);
  }
}

/** Looks at the runs until they have ended, or the signal aborts. `early`: its signal has it look sooner. */
async function watch(
  call: Call,
  runIds: readonly string[],
  signal: AbortSignal,
  silent: boolean,
  early = () => signal,
): Promise<Run[]> {
  const progress = showProgress(silent);
  try {
    for (;;) {
      const sooner = early();
      const runs = await Promise.all(runIds.map(async (id) => withoutFailures(await call('runs.get', { id }))));
      progress.update(runs);
      const ended = runs.every((run) => run.state !== 'queued' && run.state !== 'running');
      if (ended || signal.aborted) return runs;
      await wait(POLL_MS, undefined, { signal: AbortSignal.any([signal, sooner]) }).catch(() => undefined);
    }
  } finally {
    progress.end();
  }
}

function withoutFailures({ failures: _, ...run }: Answer<'runs.get'>): Run {
  return run;
}

/** Has a plan done as it was made, and waits. */
export function execute(globals: Globals, planId: string): Promise<void> {
  return withSession(async ({ call, app }) => {
    const { id } = await call('plans.execute', { id: planId });
    if (app) await app.crawl(id, new AbortController().signal);
    report(globals, await watch(call, [id], new AbortController().signal, globals.json));
  });
}

function report(globals: Globals, runs: readonly Run[]): void {
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

function figures(run: Run): string {
  const { added, changed, moved, removed, unchanged, excluded } = run;
  return `${added} added, ${changed} changed, ${moved > 0 ? `${moved} moved, ` : ''}${removed} removed, ${unchanged} unchanged, ${excluded} left out; ${bytes(run.bytes)} fetched.`;
}

function exitCode(runs: readonly Run[]): number {
  const has = (...states: Run['state'][]) => runs.some((run) => states.includes(run.state));
  if (has('running', 'queued')) return EXIT.interrupted;
  if (has('failed', 'cancelled', 'superseded')) return EXIT.failed;
  if (has('needs_approval')) return EXIT.approval;
  return runs.some((run) => run.failed > 0) ? EXIT.partial : EXIT.ok;
}
