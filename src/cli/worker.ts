import { systemClock } from '../clock.ts';
import { LockgateError } from '../contract/errors.ts';
import { requeueAbandoned, startScheduler } from '../jobs/scheduler.ts';
import { withApp } from './session.ts';

/** Runs the schedules and crawls, until SIGTERM or SIGINT; what is under way stops at its checkpoint. */
export function worker(options: { concurrency: number }): Promise<void> {
  return withApp(async (app) => {
    const db = await app.database();
    const queue = await app.queue();
    await (await app.content()).sweep();
    const stop = new AbortController();
    const ended = new Promise<void>((resolve) => stop.signal.addEventListener('abort', () => resolve()));
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => stop.abort(new LockgateError('interrupted', 'The worker is stopping.')));
    }
    const parts = { db, queue, clock: systemClock, log: app.log };
    await requeueAbandoned(parts);
    const scheduler = startScheduler(parts);
    await queue.work(Math.max(1, Math.floor(options.concurrency)), (runId) => app.crawl(runId, stop.signal));
    app.log.info({ workspace: app.config.workspace, concurrency: options.concurrency }, 'worker started');
    await ended;
    await scheduler.stop();
    await queue.stop();
    app.log.info('worker stopped');
  }, 'info');
}
