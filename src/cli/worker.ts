import { systemClock } from '../clock.ts';
import { forget } from '../collections/retention.ts';
import { describeError, LockgateError } from '../contract/errors.ts';
import { collectGarbage } from '../jobs/collect-garbage.ts';
import { requeueAbandoned, startScheduler } from '../jobs/scheduler.ts';
import type { App } from '../main.ts';
import { withApp } from './session.ts';

const TASKS_AT_ONCE = 2;
const WEBHOOKS_AT_ONCE = 4;
const COLLECT_EVERY_MS = 24 * 3_600_000;
const GRACE_SECONDS = 24 * 3600;

/** Crawls, and does what else takes a credential, until SIGTERM or SIGINT; what is under way stops at its checkpoint. */
export function worker(options: { concurrency: number; schedule: boolean }): Promise<void> {
  return withApp(
    async (app) => {
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
      const crew = app.joinCrew(Math.max(1, Math.floor(options.concurrency)), stop.signal);
      await queue.answer(app.config.crew, TASKS_AT_ONCE, async (task) => {
        try {
          return { ok: true, value: await app.doTask(task, stop.signal) };
        } catch (error) {
          return { ok: false, error: describeError(error) };
        }
      });
      await queue.workWebhooks(WEBHOOKS_AT_ONCE, (id) => app.deliver(id, stop.signal));
      const collector = collectDaily(app, stop.signal);
      const { labels, onlyLabels } = app.config.crew;
      app.log.info(
        { workspace: app.config.workspace, concurrency: options.concurrency, labels, onlyLabels },
        'worker started',
      );
      await ended;
      await crew;
      await collector;
      await scheduler?.stop();
      await queue.stop();
      app.log.info('worker stopped');
    },
    { logLevel: 'info', opensDatabase: true },
  );
}

/** Once a day in each worker, of which one does it: content that nothing has referred to for a day goes, and what is old. */
async function collectDaily(app: App, signal: AbortSignal): Promise<void> {
  for (;;) {
    // Not all workers that were started together at once, and not while they start.
    await systemClock.sleep(COLLECT_EVERY_MS * (0.5 + Math.random()), signal).catch(() => undefined);
    if (signal.aborted) return;
    try {
      const parts = { db: await app.database(), content: await app.content(), now: systemClock.now };
      app.log.info({ ...(await collectGarbage(parts, GRACE_SECONDS, signal)) }, 'content collected');
      app.log.info({ ...(await forget(parts.db, app.config.retention, signal)) }, 'forgot what is old');
    } catch (error) {
      if (!signal.aborted) app.log.warn({ error: describeError(error) }, 'could not tidy up');
    }
  }
}
