import type { Database } from '../contract/database.ts';

const AT_ONCE = 10_000;

/** Days; zero: for ever. */
export interface Retention {
  readonly changesDays: number;
  readonly runsDays: number;
}

export interface Forgotten {
  readonly changes: number;
  readonly runs: number;
  readonly plans: number;
}

const PLAN_DAYS = 30;

/**
 * Removes changes, ended runs and plans that are older than they are to be kept. Changes go from the oldest on, and none that a
 * webhook has not taken; a reader who comes too late is told so. The latest run of each source stays, and so do the totals.
 */
export async function forget(db: Database, keep: Retention, signal: AbortSignal): Promise<Forgotten> {
  const forgotten = { changes: 0, runs: 0, plans: 0 };
  if (keep.changesDays > 0) {
    for (const { id } of await db.query<{ id: string }>('select id from lockgate.collection')) {
      for (let some = AT_ONCE; some === AT_ONCE; forgotten.changes += some) {
        signal.throwIfAborted();
        some = await forgetChanges(db, id, keep.changesDays);
      }
    }
  }
  if (keep.runsDays > 0) {
    for (let some = AT_ONCE; some === AT_ONCE; forgotten.runs += some) {
      signal.throwIfAborted();
      some = await removed(
        db,
        `delete from lockgate.run where id in (
           select r.id from lockgate.run r
            where r.finished_at < now() - make_interval(days => $1) and r.state not in ('queued', 'running', 'needs_approval')
              and exists (select 1 from lockgate.run later where later.source_id = r.source_id and later.state = 'completed'
                             and later.created_at > r.created_at)
            limit $2)
         returning 1`,
        keep.runsDays,
      );
    }
  }
  forgotten.plans = await removed(
    db,
    `delete from lockgate.plan where id in (
       select id from lockgate.plan where created_at < now() - make_interval(days => $1) limit $2) returning 1`,
    PLAN_DAYS,
  );
  return forgotten;
}

async function removed(db: Database, statement: string, days: number): Promise<number> {
  return (await db.query(statement, [days, AT_ONCE])).length;
}

/** In the order of the numbers, as far as they are old; so what is left has no gap. */
function forgetChanges(db: Database, collectionId: string, days: number): Promise<number> {
  return db.transaction(async (tx) => {
    const [end] = await tx.query<{ number: number | null }>(
      `select max(number) as number from (
         select number, at from lockgate.change
          where collection_id = $1
            and number <= coalesce((select min(after_number) from lockgate.webhook where collection_id = $1 and enabled), number)
          order by number limit $3) oldest
        where at < now() - make_interval(days => $2)`,
      [collectionId, days, AT_ONCE],
    );
    const upTo = end?.number;
    if (!upTo) return 0;
    await tx.query('update lockgate.collection set forgotten_changes = $2 where id = $1 and forgotten_changes < $2', [
      collectionId,
      upTo,
    ]);
    return (
      await tx.query('delete from lockgate.change where collection_id = $1 and number <= $2 returning 1', [
        collectionId,
        upTo,
      ])
    ).length;
  });
}
