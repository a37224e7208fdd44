import { PgBoss } from 'pg-boss';
import type { Database, Queryable } from '../contract/database.ts';

const CRAWL = 'crawl';
/** A worker that sends no heartbeat for this long is dead, and its job is given to another. */
const HEARTBEAT_SECONDS = 20;
/** A job may take this long before it is given to another worker, which goes on from its checkpoint. */
const EXPIRE_SECONDS = 23 * 3600;

/** The queue of crawl jobs. A job names a run and nothing else. */
export interface CrawlQueue extends AsyncDisposable {
  /** Queues the run; with `tx`, when that transaction commits. */
  send(runId: string, tx?: Queryable): Promise<void>;
  /** Executes jobs as they come, until stopped. A handler that throws has its job tried again. */
  work(concurrency: number, handle: (runId: string) => Promise<void>): Promise<void>;
  /** Takes no more jobs, and resolves when those under way have ended. */
  stop(): Promise<void>;
}

export async function openQueue(db: Database, onError: (error: unknown) => void): Promise<CrawlQueue> {
  const boss = new PgBoss({
    db: adapt(db),
    schema: 'lockgate_queue',
    schedule: false,
    monitorIntervalSeconds: 10,
    superviseIntervalSeconds: 30,
  });
  boss.on('error', onError);
  await boss.start();
  await boss.createQueue(CRAWL, {
    retryLimit: 10,
    retryDelay: 1,
    retryBackoff: true,
    retryDelayMax: 60,
    heartbeatSeconds: HEARTBEAT_SECONDS,
    expireInSeconds: EXPIRE_SECONDS,
  });
  const stop = () => boss.stop({ graceful: true, timeout: 60_000 });
  return {
    send: async (runId, tx) => {
      await boss.send(CRAWL, { runId }, tx ? { db: adapt(tx) } : {});
    },
    work: async (concurrency, handle) => {
      await boss.work<{ runId: string }>(
        CRAWL,
        { batchSize: 1, pollingIntervalSeconds: 0.5, localConcurrency: concurrency },
        async ([job]) => {
          if (job) await handle(job.data.runId);
        },
      );
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function adapt(db: Queryable) {
  return { executeSql: async (text: string, values: unknown[] = []) => ({ rows: await db.query(text, values) }) };
}
