import { systemClock } from '../clock.ts';
import { describeError, LockgateError } from '../contract/errors.ts';
import { requeueAbandoned, startScheduler } from '../jobs/scheduler.ts';
import { withApp } from './session.ts';

const TASKS_AT_ONCE = 2;
const WEBHOOKS_AT_ONCE = 4;

/** Crawls, and does what else takes a credential, until SIGTERM or SIGINT; what is under way stops at its checkpoint. */
export function worker(options: { concurrency: number; schedule: boolean }): Promise<void> {
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
    const scheduler = options.schedule ? startScheduler(parts) : null;
    await queue.work(Math.max(1, Math.floor(options.concurrency)), (runId) => app.crawl(runId, stop.signal));
    await queue.answer(TASKS_AT_ONCE, async (task) => {
      try {
        return { ok: true, value: await app.doTask(task, stop.signal) };
      } catch (error) {
        return { ok: false, error: describeError(error) };
      }
    });
    await queue.workWebhooks(WEBHOOKS_AT_ONCE, (id) => app.deliver(id, stop.signal));
    app.log.info({ workspace: app.config.workspace, concurrency: options.concurrency }, 'worker started');
    await ended;
    await scheduler?.stop();
    await queue.stop();
    app.log.info('worker stopped');
  }, 'info');
}
