import { schedule } from 'node-cron';
import { type DueSource, fireSources, takeDueSources } from '../collections/due-sources.ts';
import { abandonedRuns } from '../collections/runs.ts';
import { dueWebhooks } from '../collections/webhooks.ts';
import type { Clock } from '../contract/connector.ts';
import type { Database } from '../contract/database.ts';
import { describeError } from '../contract/errors.ts';
import type { Log } from '../log.ts';
import { nextAttempt } from './due-time.ts';
import type { CrawlQueue } from './queue.ts';

const SOURCES_AT_ONCE = 200;
/** A scheduler may be so late, and still each due time has its run. */
const LATE_MS = 10_000;
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
 * Queues a run for every source whose time has come. Of several schedulers one has a source; time that passed while nobody
 * swept counts once, unless it is so short that a schedule of seconds can still be kept.
 */
export async function sweepDueSources({ db, queue, clock, log }: SchedulerParts): Promise<number> {
  let queued = 0;
  for (;;) {
    const now = new Date(clock.now());
    const { due, runs } = await db.transaction(async (tx) => {
      const due = await takeDueSources(tx, now, SOURCES_AT_ONCE);
      const moved = due.map(({ id, dueAt, ...source }) => ({ id, dueAt, next: nextOf(source, dueAt, now) }));
      const runs = due.length > 0 ? await fireSources(tx, moved) : [];
      await queue.sendAll(runs, tx);
      return { due, runs };
    });
    for (const { id, sourceId, dueAt } of runs) log.info({ sourceId, runId: id, dueAt }, 'run scheduled');
    queued += runs.length;
    if (due.length < SOURCES_AT_ONCE) return queued;
  }
}

function nextOf({ schedule: when, ...source }: Omit<DueSource, 'id' | 'dueAt'>, dueAt: Date, now: Date): Date | null {
  if (!when) return null;
  const from = now.getTime() - dueAt.getTime() <= LATE_MS ? dueAt : now;
  return nextAttempt(when, from, source, Math.random());
}

/** Queues runs anew whose worker died, so that another takes them up from their checkpoint. */
export async function requeueAbandoned({ db, queue }: SchedulerParts): Promise<void> {
  await queue.sendAll(await abandonedRuns(db, ABANDONED_SECONDS));
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
