import { setTimeout as wait } from 'node:timers/promises';
import type { Answer } from '../contract/api/index.ts';
import { InputError, LockgateError } from '../contract/errors.ts';
import type { App } from '../main.ts';
import { EXIT } from './exit.ts';
import { bytes, type Globals, plural, print, printJson, printTable } from './present.ts';
import { showProgress } from './progress.ts';
import { approvalText } from './runs.ts';
import { type Call, type Session, withSession } from './session.ts';

const POLL_MS = 200;
const WAIT_MS = 1000;
const ITEMS_SHOWN = 200;
/** How often a run is begun again here that this process could not go on with. */
const ATTEMPTS = 10;
/** Sources synced at once by this process. */
const CONCURRENT_RUNS = 4;

type Run = Omit<Answer<'runs.get'>, 'failures'>;

interface SyncOptions {
  readonly source?: string;
  readonly dryRun?: boolean;
}

/** Asks for a run of each source, executes them in this process or has workers do it, and waits for them. */
export function sync(globals: Globals, name: string, options: SyncOptions): Promise<void> {
  return withSession(async ({ call, app }) => {
    app?.prepare();
    const sources = await sourcesOf(call, name, options.source);
    // What the runs need is loaded while the database answers.
    for (const { connectorType } of sources) app?.prepare(connectorType);
    const sourceIds = sources.map(({ id }) => id);
    if (options.dryRun) return plan(globals, call, sourceIds);
    const stop = untilInterrupted();
    if (app) await (await app.content()).sweep();
    const runIds: string[] = [];
    const mine: string[] = [];
    for (const { id, workerLabel } of sources) {
      const own = app?.takes(workerLabel) ? await app.request(id) : null;
      if (own) mine.push(own);
      runIds.push(own ?? (await call('sources.sync', { id })).id);
    }
    await toTheirEnds(globals, { call, app }, { runIds, mine, stop });
  });
}

/** Has a plan done as it was made, and waits. */
export function execute(globals: Globals, planId: string): Promise<void> {
  return withSession(async ({ call, app }) => {
    app?.prepare();
    const stop = untilInterrupted();
    const { sourceId } = await call('plans.get', { id: planId });
    const { workerLabel } = await call('sources.get', { id: sourceId });
    const { id } = await call('plans.execute', { id: planId });
    await toTheirEnds(globals, { call, app }, { runIds: [id], mine: app?.takes(workerLabel) ? [id] : [], stop });
  });
}

/** Has a run remove what it asked about, and waits where that is done here. */
export function approve(globals: Globals, id: string): Promise<void> {
  return withSession(async ({ call, app }) => {
    const stop = untilInterrupted();
    const approved = await call('runs.approve', { id });
    if (app) return toTheirEnds(globals, { call, app }, { runIds: [id], mine: [id], stop });
    if (globals.json) return printJson(approved);
    print('Approved: a worker removes what the source no longer has.');
  });
}

function untilInterrupted(): AbortController {
  const stop = new AbortController();
  const interrupted = () => stop.abort(new LockgateError('interrupted', 'Interrupted.'));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupted);
  return stop;
}

interface Asked {
  readonly runIds: readonly string[];
  /** Those of them that this process executes. */
  readonly mine: readonly string[];
  readonly stop: AbortController;
}

/** Executes the runs that are to be executed here, waits for all, and says what came of them. */
async function toTheirEnds(
  globals: Globals,
  { call, app }: Pick<Session, 'call' | 'app'>,
  { runIds, mine, stop }: Asked,
): Promise<void> {
  const here = new Here(call, stop.signal);
  const executed = app ? here.execute(app, mine) : Promise.resolve();
  executed.catch((error) => stop.abort(error));
  const ended = async () => {
    stop.abort(new LockgateError('interrupted', 'This process is ending.'));
    await executed;
  };
  const runs = await watch(call, runIds, stop.signal, globals.json, () => here.nextEnd).finally(ended);
  report(globals, runs);
}

/** Executes runs in this process, some side by side. */
class Here {
  readonly #call: Call;
  readonly #signal: AbortSignal;
  #end = new AbortController();

  constructor(call: Call, signal: AbortSignal) {
    this.#call = call;
    this.#signal = signal;
  }

  /** Aborts when one of them ends. */
  get nextEnd(): AbortSignal {
    return this.#end.signal;
  }

  /** Resolves when all have ended, or when the signal has aborted and those under way have stopped at their checkpoints. */
  async execute(app: App, runIds: readonly string[]): Promise<void> {
    const waiting = [...runIds];
    const one = async () => {
      for (let id = waiting.shift(); id !== undefined && !this.#signal.aborted; id = waiting.shift()) {
        await this.#toEnd(app, id);
        this.#end.abort();
        this.#end = new AbortController();
      }
    };
    await Promise.all(Array.from({ length: CONCURRENT_RUNS }, one));
  }

  /** A run that has to wait, or that another process has, is looked at again: that one may be killed. */
  async #toEnd(app: App, id: string): Promise<void> {
    for (let failures = 0; !this.#signal.aborted; ) {
      try {
        await app.crawl(id, this.#signal);
        if (!isOpen(await this.#call('runs.get', { id }))) return;
      } catch (error) {
        // Who was interrupted, or was away from the database for a moment, goes on from the checkpoint.
        if (this.#signal.aborted) return;
        if (++failures === ATTEMPTS) throw error;
      }
      await wait(WAIT_MS, undefined, { signal: this.#signal }).catch(() => undefined);
    }
  }
}

type Listed = Pick<Answer<'sources.get'>, 'id' | 'connectorType' | 'workerLabel'>;

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
    for (let failures = 0; ; ) {
      const sooner = early();
      const runs = await lookAt(call, runIds).catch((error) => {
        if (!isAway(error) || signal.aborted || ++failures === ATTEMPTS) throw error;
        return null;
      });
      if (!runs) {
        await wait(WAIT_MS);
        continue;
      }
      failures = 0;
      progress.update(runs);
      const ended = !runs.some(isOpen);
      if (ended || signal.aborted) return runs;
      await wait(POLL_MS, undefined, { signal: AbortSignal.any([signal, sooner]) }).catch(() => undefined);
    }
  } finally {
    progress.end();
  }
}

function lookAt(call: Call, runIds: readonly string[]): Promise<Run[]> {
  return Promise.all(runIds.map(async (id) => withoutFailures(await call('runs.get', { id }))));
}

/** A database that is away for a moment, as when it is started again. */
function isAway(error: unknown): boolean {
  return error instanceof LockgateError && error.code === 'database_unavailable';
}

function isOpen({ state }: Pick<Run, 'state'>): boolean {
  return state === 'queued' || state === 'running';
}

function withoutFailures({ failures: _, ...run }: Answer<'runs.get'>): Run {
  return run;
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
    if (isOpen(run)) print('  Interrupted. Run it again to go on from where it was.');
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
