import type { Queryable } from '../contract/database.ts';

/** A worker that has not been heard of for so long is shown as gone, and forgotten after a day. */
const GONE_AFTER_SECONDS = 30;

export interface WorkerRecord {
  readonly id: string;
  readonly labels: readonly string[];
  readonly onlyLabels: boolean;
  readonly concurrency: number;
  readonly version: string;
  readonly startedAt: Date;
  readonly heartbeatAt: Date;
  readonly alive: boolean;
  /** Runs that it leads, and that it helps with. */
  readonly leads: number;
  readonly helps: number;
}

export type Announced = Pick<WorkerRecord, 'id' | 'labels' | 'onlyLabels' | 'concurrency' | 'version'>;

/** Says that a worker is there; to be said again and again. */
export async function announceWorker(db: Queryable, worker: Announced): Promise<void> {
  await db.query(
    `insert into lockgate.worker (id, labels, only_labels, concurrency, version) values ($1, $2, $3, $4, $5)
     on conflict (id) do update set heartbeat_at = now()`,
    [worker.id, worker.labels, worker.onlyLabels, worker.concurrency, worker.version],
  );
  await db.query(`delete from lockgate.worker where heartbeat_at < now() - interval '1 day'`);
}

export async function retireWorker(db: Queryable, id: string): Promise<void> {
  await db.query('delete from lockgate.worker where id = $1', [id]);
}

export function listWorkers(db: Queryable): Promise<WorkerRecord[]> {
  return db.query<WorkerRecord>(
    `select w.id, w.labels, w.only_labels as "onlyLabels", w.concurrency, w.version, w.started_at as "startedAt",
            w.heartbeat_at as "heartbeatAt", w.heartbeat_at > now() - make_interval(secs => $1) as alive,
            (select count(*) from lockgate.hand h where h.worker = w.id and h.leads) as leads,
            (select count(*) from lockgate.hand h where h.worker = w.id and not h.leads) as helps
       from lockgate.worker w order by alive desc, w.id`,
    [GONE_AFTER_SECONDS],
  );
}

/** Whether a worker is there that takes sources with this label (null: with none). */
export async function isWorkerThere(db: Queryable, label: string | null): Promise<boolean> {
  const [found] = await db.query(
    `select 1 from lockgate.worker where heartbeat_at > now() - make_interval(secs => $2)
        and ($1 = any(labels) or ($1::text is null and not only_labels)) limit 1`,
    [label, GONE_AFTER_SECONDS],
  );
  return found !== undefined;
}

/** The label that a source asks workers for; null: none, or there is no such source. */
export async function labelFor(
  db: Queryable,
  about: { readonly runId?: string; readonly planId?: string; readonly sourceId?: string },
): Promise<string | null> {
  const [found] = await db.query<{ label: string | null }>(
    `select worker_label as label from lockgate.source s
      where s.id = coalesce($1::uuid, (select source_id from lockgate.run where id = $2),
                            (select source_id from lockgate.plan where id = $3))`,
    [about.sourceId ?? null, about.runId ?? null, about.planId ?? null],
  );
  return found?.label ?? null;
}
