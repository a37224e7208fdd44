import type { Queryable } from '../contract/database.ts';

export interface Day {
  /** Such as 2026-07-04, in UTC. */
  readonly day: string;
  readonly runs: number;
  readonly failedRuns: number;
  readonly added: number;
  readonly changed: number;
  readonly removed: number;
  /** Fetched. */
  readonly bytes: number;
  /** In the workspace when the day ended. */
  readonly documents: number;
}

export interface Attention {
  readonly kind: 'failing' | 'paused' | 'needs_approval' | 'failed_documents';
  readonly sourceId: string;
  readonly runId: string | null;
  readonly collection: string;
  readonly path: string;
  readonly message: string;
  readonly since: Date | null;
}

export interface Overview {
  readonly collections: number;
  readonly documents: number;
  readonly bytes: number;
  readonly sources: {
    readonly total: number;
    readonly autoSync: number;
    readonly failing: number;
    readonly paused: number;
    readonly neverSynced: number;
  };
  /** Runs. */
  readonly running: number;
  readonly waiting: number;
  readonly failedDocuments: number;
  readonly days: readonly Day[];
  readonly attention: readonly Attention[];
}

const SHOWN = 50;
const OF = 'join lockgate.collection c on c.id = s.collection_id and c.workspace = $1';

/** What a workspace has and does, from the sums that are kept anyway: no document is looked at. */
export async function overview(db: Queryable, workspace: string, days: number): Promise<Overview> {
  const [sums] = await db.query<{
    collections: number;
    documents: number;
    bytes: number;
    total: number;
    autoSync: number;
    failing: number;
    paused: number;
    neverSynced: number;
  }>(
    `select (select count(*) from lockgate.collection where workspace = $1) as collections,
            coalesce(sum(s.document_count), 0)::bigint as documents, coalesce(sum(s.byte_count), 0)::bigint as bytes,
            count(s.id) filter (where s.removed_at is null) as total,
            count(s.id) filter (where s.removed_at is null and s.auto_sync and s.paused_at is null) as "autoSync",
            count(s.id) filter (where s.removed_at is null and s.failures > 0) as failing,
            count(s.id) filter (where s.removed_at is null and s.paused_at is not null) as paused,
            count(s.id) filter (where s.removed_at is null and s.last_completed_at is null) as "neverSynced"
       from lockgate.source s ${OF}`,
    [workspace],
  );
  const [runs] = await db.query<{ running: number; waiting: number }>(
    `select count(*) filter (where r.state in ('queued', 'running')) as running,
            count(*) filter (where r.state = 'needs_approval') as waiting
       from lockgate.run r join lockgate.source s on s.id = r.source_id ${OF}
      where r.state in ('queued', 'running', 'needs_approval')`,
    [workspace],
  );
  const [failed] = await db.query<{ documents: number }>(
    `select count(*) as documents from lockgate.document_failure f join lockgate.source s on s.id = f.source_id ${OF}`,
    [workspace],
  );
  const { collections = 0, documents = 0, bytes = 0, ...sources } = sums ?? {};
  return {
    collections,
    documents,
    bytes,
    sources: { total: 0, autoSync: 0, failing: 0, paused: 0, neverSynced: 0, ...sources },
    running: runs?.running ?? 0,
    waiting: runs?.waiting ?? 0,
    failedDocuments: failed?.documents ?? 0,
    days: await daysOf(db, workspace, days, documents),
    attention: await attentionOf(db, workspace),
  };
}

async function daysOf(db: Queryable, workspace: string, days: number, documents: number): Promise<Day[]> {
  const rows = await db.query<Omit<Day, 'documents'>>(
    `select to_char(d.day, 'YYYY-MM-DD') as day, count(r.id) as runs,
            count(r.id) filter (where r.state = 'failed') as "failedRuns", coalesce(sum(r.added), 0)::bigint as added,
            coalesce(sum(r.changed), 0)::bigint as changed, coalesce(sum(r.removed), 0)::bigint as removed,
            coalesce(sum(r.bytes), 0)::bigint as bytes
       from generate_series(date_trunc('day', now() at time zone 'UTC') - make_interval(days => $2 - 1),
                            date_trunc('day', now() at time zone 'UTC'), interval '1 day') as d(day)
       left join (select r.* from lockgate.run r join lockgate.source s on s.id = r.source_id ${OF}
                   where r.created_at > now() - make_interval(days => $2 + 1)) r
         on date_trunc('day', coalesce(r.finished_at, now()) at time zone 'UTC') = d.day
      group by d.day order by d.day desc`,
    [workspace, days],
  );
  // Backwards from what there is now: what a day brought was not there the day before.
  let then = documents;
  const told = rows.map((row) => {
    const day = { ...row, documents: Math.max(0, then) };
    then -= row.added - row.removed;
    return day;
  });
  return told.reverse();
}

function attentionOf(db: Queryable, workspace: string): Promise<Attention[]> {
  return db.query<Attention>(
    `select * from (
       select 'needs_approval' as kind, s.id as "sourceId", r.id as "runId", c.name as collection, s.path,
              format('%s documents would be removed; somebody has to look at it.', r.missing) as message, r.finished_at as since
         from lockgate.run r join lockgate.source s on s.id = r.source_id ${OF} where r.state = 'needs_approval'
       union all
       select 'paused', s.id, null, c.name, s.path, coalesce(s.paused_reason, 'Paused.'), s.paused_at
         from lockgate.source s ${OF} where s.paused_at is not null and s.removed_at is null
       union all
       select 'failing', s.id, last.id, c.name, s.path, coalesce(last.error->>'message', 'The last run failed.'), last.finished_at
         from lockgate.source s ${OF}
         left join lateral (select r.id, r.error, r.finished_at from lockgate.run r
                             where r.source_id = s.id and r.state = 'failed' order by r.created_at desc limit 1) last on true
        where s.failures > 0 and s.paused_at is null and s.removed_at is null
       union all
       select 'failed_documents', s.id, null, c.name, s.path,
              format('%s documents could not be fetched.', count(*)), min(f.first_at)
         from lockgate.document_failure f join lockgate.source s on s.id = f.source_id ${OF}
        group by s.id, c.name, s.path) found
      order by since desc nulls last limit ${SHOWN}`,
    [workspace],
  );
}
