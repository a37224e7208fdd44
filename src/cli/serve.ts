import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { openApi, sayBootstrapToken } from '../api.ts';
import { systemClock } from '../clock.ts';
import { inheritedEnvironment } from '../config.ts';
import type { Foundation } from '../foundation.ts';
import { startScheduler } from '../jobs/scheduler.ts';
import { liveValues } from '../secrets/live-values.ts';
import { print } from './present.ts';
import { withFoundation } from './session.ts';
import { worker } from './worker.ts';

const BIN = fileURLToPath(new URL('../../bin/lockgate', import.meta.url));
const RESTART_MS = 1000;
const MAX_RESTART_MS = 30_000;
/** A worker that has run for so long did not fail at its start. */
const SETTLED_MS = 60_000;

export interface ServeOptions {
  readonly role: 'all' | 'api' | 'scheduler' | 'worker';
  readonly concurrency: number;
  /** The worker ends when its standard input does. */
  readonly supervised?: boolean;
}

/**
 * Serves until SIGTERM or SIGINT. The process that listens never holds what reads a secret: workers are processes of their
 * own, also on a laptop.
 */
export function serve({ role, concurrency, supervised }: ServeOptions): Promise<void> {
  if (role === 'worker') {
    if (supervised) {
      process.stdin.once('close', () => process.kill(process.pid, 'SIGTERM')).resume();
      // It is listened to, and does not keep a process that has stopped.
      (process.stdin as unknown as Socket).unref();
    }
    return worker({ concurrency, schedule: false });
  }
  const environment = inheritedEnvironment();
  return withFoundation(async (app) => {
    const stop = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
    const db = await app.database();
    const queue = await app.queue();
    const scheduler = role === 'api' ? null : startScheduler({ db, queue, clock: systemClock, log: app.log });
    const http = role === 'scheduler' ? null : await listen(app);
    const child = role === 'all' ? superviseWorker(app, environment, concurrency, stop.signal) : null;
    if (!stop.signal.aborted) await once(stop.signal, 'abort');
    app.log.info('stopping');
    await http?.close();
    await scheduler?.stop();
    await child;
    await queue.stop();
  });
}

async function listen(app: Foundation) {
  const { config, log } = app;
  const db = await app.database();
  const http = await openApi({
    config,
    db,
    queue: await app.queue(),
    content: await app.content(),
    log,
    scrub: (text) => liveValues.scrub(text),
  });
  const address = await http.listen({ host: config.http.host, port: config.http.port });
  await sayBootstrapToken(db, print);
  print(`Lockgate serves ${address} (what it takes: ${address}/docs)`);
  log.info({ address, workspace: config.workspace }, 'listening');
  return http;
}

/** Keeps a worker running in a process of its own; resolves when it has ended after the signal. */
async function superviseWorker(
  { log }: Foundation,
  env: Record<string, string>,
  concurrency: number,
  signal: AbortSignal,
): Promise<void> {
  let pause = RESTART_MS;
  let child: ChildProcess | undefined;
  signal.addEventListener('abort', () => child?.kill('SIGTERM'));
  while (!signal.aborted) {
    const startedAt = Date.now();
    // It ends with this process, also when that is killed: then nothing holds its standard input open any more.
    child = spawn(BIN, ['serve', '--role', 'worker', '--supervised', '--concurrency', String(concurrency)], {
      env,
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    child.stdin?.on('error', () => undefined);
    const [code, killedBy] = (await once(child, 'exit')) as [number | null, string | null];
    if (signal.aborted) return;
    log.error({ code, killedBy }, 'the worker ended, and is started again');
    pause = Date.now() - startedAt > SETTLED_MS ? RESTART_MS : Math.min(MAX_RESTART_MS, pause * 2);
    await systemClock.sleep(pause, signal).catch(() => undefined);
  }
}
