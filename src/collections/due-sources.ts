import type { Queryable } from '../contract/database.ts';
import { newId } from './id.ts';
import type { SourceRecord } from './sources.ts';

export interface DueSource extends Pick<SourceRecord, 'id' | 'schedule' | 'failures' | 'jitterSeconds'> {
  readonly dueAt: Date;
}

/**
 * Sources whose time has come, the longest waiting first. They are the transaction's until it ends: other schedulers pass over
 * them.
 */
export function takeDueSources(tx: Queryable, now: Date, limit: number): Promise<DueSource[]> {
  return tx.query<DueSource>(
    `select s.id, s.schedule, s.failures, s.jitter_seconds as "jitterSeconds", s.next_due_at as "dueAt" from lockgate.source s
      where s.auto_sync and s.removed_at is null and s.paused_at is null and s.next_due_at <= $1
      order by s.next_due_at limit $2 for no key update skip locked`,
    [now, limit],
  );
}

/**
 * Moves due times on, and makes a run for each source that has none under way. A due time has one run at the most, whoever asks.
 * Returns the new runs.
 */
export async function fireSources(
  tx: Queryable,
  due: readonly { readonly id: string; readonly dueAt: Date; readonly next: Date | null }[],
): Promise<{ id: string; sourceId: string; dueAt: Date; label: string | null }[]> {
  const ids = due.map(({ id }) => id);
  await tx.query(
    `update lockgate.source s set next_due_at = row.next
       from unnest($1::uuid[], $2::timestamptz[]) as row (id, next) where s.id = row.id`,
    [ids, due.map(({ next }) => next)],
  );
  const runs = await tx.query<{ id: string; sourceId: string; dueAt: Date }>(
    `insert into lockgate.run (id, source_id, trigger, due_at)
     select row.id, row.source_id, 'schedule', row.due_at
       from unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) as row (id, source_id, due_at)
     on conflict do nothing returning id, source_id as "sourceId", due_at as "dueAt"`,
    [due.map(() => newId()), ids, due.map(({ dueAt }) => dueAt)],
  );
  const fired = runs.map(({ sourceId }) => sourceId);
  // What waited for approval was found by an older listing; the new run finds it again.
  await tx.query(
    `update lockgate.run set state = 'superseded', finished_at = now() where source_id = any($1) and state = 'needs_approval'`,
    [fired],
  );
  const labels = await tx.query<{ id: string; label: string }>(
    'select id, worker_label as label from lockgate.source where id = any($1) and worker_label is not null',
    [fired],
  );
  const labelOf = new Map(labels.map(({ id, label }) => [id, label]));
  return runs.map((run) => ({ ...run, label: labelOf.get(run.sourceId) ?? null }));
}
