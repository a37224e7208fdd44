import { schedule } from 'node-cron';
import { abandonedRuns, requestRun } from '../collections/runs.ts';
import { advanceDueTime, dueSources } from '../collections/sources.ts';
import { dueWebhooks } from '../collections/webhooks.ts';
import type { Clock } from '../contract/connector.ts';
import type { Database } from '../contract/database.ts';
import { describeError } from '../contract/errors.ts';
import type { Log } from '../log.ts';
import { nextAttempt } from './due-time.ts';
import type { CrawlQueue } from './queue.ts';

const SOURCES_PER_SWEEP = 100;
const WEBHOOKS_PER_SWEEP = 100;
/** A run without a heartbeat for this long has lost its worker. */
const ABANDONED_SECONDS = 30;

export interface SchedulerParts {
  readonly db: Database;
  readonly queue: CrawlQueue;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Queues a run for every source whose time has come. Of several schedulers, the one that moves the due time on queues
 * it; time that passed while nobody swept counts once.
 */
export async function sweepDueSources({ db, queue, clock, log }: SchedulerParts): Promise<number> {
  const now = new Date(clock.now());
  let queued = 0;
  for (const source of await dueSources(db, now, SOURCES_PER_SWEEP)) {
    const { nextDueAt, schedule: when } = source;
    if (!nextDueAt) continue;
    await db.transaction(async (tx) => {
      if (
        !(await advanceDueTime(tx, source.id, nextDueAt, when ? nextAttempt(when, now, source, Math.random()) : null))
      )
        return;
      const runId = await requestRun(tx, source.id, 'schedule');
      await queue.send(runId, tx);
      queued++;
      log.info({ sourceId: source.id, runId, dueAt: nextDueAt }, 'run scheduled');
    });
  }
  return queued;
}

/** Queues runs anew whose worker died, so that another takes them up from their checkpoint. */
export async function requeueAbandoned({ db, queue }: SchedulerParts): Promise<void> {
  for (const { id } of await abandonedRuns(db, ABANDONED_SECONDS)) await queue.send(id);
}

/** Sweeps every second until stopped. The ticks are node-cron's; the due times are the database's. */
export function startScheduler(parts: SchedulerParts): { stop(): Promise<void> } {
  let sweeping: Promise<void> | null = null;
  let ticks = 0;
  const sweep = async () => {
    try {
      await sweepDueSources(parts);
      for (const { id } of await dueWebhooks(parts.db, WEBHOOKS_PER_SWEEP)) await parts.queue.tell(id);
      if (ticks++ % ABANDONED_SECONDS === 0) await requeueAbandoned(parts);
    } catch (error) {
      parts.log.error({ error: describeError(error) }, 'schedule sweep failed');
    }
  };
  const task = schedule('* * * * * *', () => {
    sweeping ??= sweep().finally(() => {
      sweeping = null;
    });
  });
  return {
    stop: async () => {
      await task.destroy();
      await sweeping;
    },
  };
}
