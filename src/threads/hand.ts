import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../clock.ts';
import { openPackIndex } from '../collections/pack-index.ts';
import { openContent } from '../content/open.ts';
import { describeError } from '../contract/errors.ts';
import { openPool } from '../db/pool.ts';
import { help } from '../jobs/help.ts';
import { Limits } from '../jobs/open-source.ts';
import { createEgress } from '../layers/egress.ts';
import { createLog } from '../log.ts';
import { liveValues, watchedReader } from '../secrets/live-values.ts';
import { passedReader } from '../secrets/passed.ts';
import { Asking } from './asking.ts';
import type { Answers, Orders } from './orders.ts';

/** The side of a thread of `HandThreads`: one hand of one run. */
const CONNECTIONS = 4;
/** How long it waits for something to do, and for more when it has done all there was, in milliseconds. */
const LINGER_MS = 2000;
const LOOK_MS = 50;

const orders = workerData as Orders;
const asking = new Asking<Answers>(orders.port);
const stop = new AbortController();
parentPort?.on('message', () => stop.abort(new Error('the run needs no more hands')));

const { runId, worker, handsPerRun, caps, dataDir, tracing, ambient } = orders;
const log = createLog(orders.logLevel, (text) => liveValues.scrub(text));
const endTracing = tracing ? (await import('../tracing.ts')).startTracing() : null;
const db = openPool(() => asking.ask('database'), CONNECTIONS);
const content = await openContent(
  orders.content,
  dataDir,
  openPackIndex(async () => db),
);
const reader = watchedReader(
  passedReader((ref, purpose) => asking.ask('credential', ref, purpose)),
  liveValues,
);
const runtime = { clock: systemClock, egress: createEgress(orders.allowedEndpoints), ambient };
const source = { reader, runtime, limits: new Limits(systemClock) };
const parts = { db, content, sourceParts: () => source, clock: systemClock, worker, caps };
const terms = { lingerMs: LINGER_MS };
try {
  const until = systemClock.now() + LINGER_MS;
  while (!(await help(parts, runId, handsPerRun, terms, stop.signal)) && systemClock.now() < until)
    await systemClock.sleep(LOOK_MS, stop.signal);
} catch (error) {
  if (!stop.signal.aborted) log.warn({ runId, error: describeError(error) }, 'a thread stopped helping');
} finally {
  await content.close?.().catch(() => undefined);
  await Promise.allSettled([db[Symbol.asyncDispose]()]);
  await endTracing?.().catch(() => undefined);
  orders.port.close();
  parentPort?.close();
}
