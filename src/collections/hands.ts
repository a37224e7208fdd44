import type { Database, Queryable } from '../contract/database.ts';
import { newId } from './id.ts';

/** A hand that has not been heard of for so long is dead: what it had others may take. Three in five of what a death may cost. */
export const DEAD_AFTER_SECONDS = 30;

/** How many hands may be at work at once. Zero: no bound. */
export interface Caps {
  readonly perCredential: number;
  /** For each account, bucket or tenant whose quota requests count against. */
  readonly perQuota: number;
  readonly perWorkspace: number;
}

export const NO_CAPS: Caps = { perCredential: 0, perQuota: 0, perWorkspace: 0 };

export type Taken =
  | {
      readonly kind: 'taken';
      readonly attempt: number;
      readonly hand: string;
      /** Attempts in a row, this one counted, since the run last got any further. */
      readonly stalled: number;
    }
  | { readonly kind: 'full'; readonly of: 'credential' | 'quota' | 'workspace' }
  | { readonly kind: 'ended' };

/**
 * Makes this worker lead an unfinished run, unless as many hands are at work already as may be, or the run has had another
 * attempt than `after`. Who led it before can commit no more; who helps goes on.
 */
export function takeRun(
  db: Database,
  id: string,
  worker: string,
  caps: Caps = NO_CAPS,
  after: number | null = null,
): Promise<Taken> {
  return db.transaction(async (tx) => {
    await oneAtATime(tx);
    const of = await fullOf(tx, id, caps, true);
    if (of) {
      const waits = await tx.query(
        `update lockgate.run set waits_for = $2 where id = $1 and state in ('queued', 'running') returning id`,
        [id, of],
      );
      return waits.length > 0 ? { kind: 'full', of } : { kind: 'ended' };
    }
    const [run] = await tx.query<{ attempt: number; stalled: number }>(
      `update lockgate.run set state = 'running', attempt = attempt + 1, stalled = stalled + 1, worker = $2, waits_for = null, retry_at = null, error = null,
              started_at = coalesce(started_at, now()), heartbeat_at = now()
        where id = $1 and state in ('queued', 'running') and attempt = coalesce($3, attempt) returning attempt, stalled`,
      [id, worker, after],
    );
    if (!run) return { kind: 'ended' };
    await tx.query('delete from lockgate.hand where run_id = $1 and leads', [id]);
    await tx.query('insert into lockgate.listing_part (run_id, number) values ($1, 0) on conflict do nothing', [id]);
    return { kind: 'taken', ...run, hand: await addHand(tx, id, worker, true) };
  });
}

/** Makes this worker help with a run that has batches which nobody has; null when it need not or may not. */
export function joinRun(db: Database, id: string, worker: string, most: number, caps: Caps): Promise<string | null> {
  return db.transaction(async (tx) => {
    await oneAtATime(tx);
    if (await fullOf(tx, id, caps, false)) return null;
    const [fitting] = await tx.query(
      `select 1 from lockgate.run r
        where r.id = $1 and r.state = 'running' and not r.cancel_requested
          and exists (select 1 from lockgate.fetch_batch b where b.run_id = r.id and b.hand_id is null)
          and not exists (select 1 from lockgate.hand h where h.run_id = r.id and h.worker = $2)
          and (select count(*) from lockgate.hand h where h.run_id = r.id) < $3`,
      [id, worker, most],
    );
    return fitting ? addHand(tx, id, worker, false) : null;
  });
}

/** Ends a hand; the batches that it had are anybody's. */
export async function leaveRun(db: Queryable, hand: string): Promise<void> {
  await db.query('delete from lockgate.hand where id = $1', [hand]);
}

/** Who asks what there is to do. */
export interface Asking {
  readonly worker: string;
  readonly labels: readonly string[];
  readonly onlyLabels: boolean;
}

/** Of a source `s`: whether a worker with the labels $1, and only them if $2, may take it. */
const FITS = '(s.worker_label = any($1) or (s.worker_label is null and not $2))';

/** A run with batches that nobody has, the one with the fewest hands for them first. */
export async function runInNeed(db: Queryable, asking: Asking, most: number): Promise<string | null> {
  const [found] = await db.query<{ id: string }>(
    `select r.id from lockgate.run r
       join lockgate.source s on s.id = r.source_id
       cross join lateral (select count(*) as hands, bool_or(h.worker = $3) as mine from lockgate.hand h where h.run_id = r.id) h
       cross join lateral (
         select count(*) as free from (
           select 1 from lockgate.fetch_batch b where b.run_id = r.id and b.hand_id is null limit 64) few) b
      where r.state = 'running' and not r.cancel_requested and ${FITS}
        and b.free > 1 and h.hands between 1 and $4 - 1 and not coalesce(h.mine, false)
      order by h.hands, b.free desc, random() limit 1`,
    [asking.labels, asking.onlyLabels, asking.worker, most],
  );
  return found?.id ?? null;
}

/** Whether a run that this worker could take has been waiting for a worker for so long. */
export async function isRunWaiting(db: Queryable, asking: Asking, seconds: number): Promise<boolean> {
  const [found] = await db.query(
    `select 1 from lockgate.run r join lockgate.source s on s.id = r.source_id
      where r.state = 'queued' and r.waits_for is null and ${FITS}
        and coalesce(r.heartbeat_at, r.created_at) < now() - make_interval(secs => $3) limit 1`,
    [asking.labels, asking.onlyLabels, seconds],
  );
  return found !== undefined;
}

/** Puts a run that this attempt leads back in the queue, behind those that wait. False: it has lost it. */
export async function yieldRun(db: Database, id: string, attempt: number): Promise<boolean> {
  return db.transaction(async (tx) => {
    const [yielded] = await tx.query(
      `update lockgate.run set state = 'queued', heartbeat_at = now(), stalled = 0 where id = $1 and attempt = $2 and state = 'running'
       returning id`,
      [id, attempt],
    );
    if (yielded) await tx.query('delete from lockgate.hand where run_id = $1', [id]);
    return yielded !== undefined;
  });
}

/** Who is away while a run is put off. */
export type PutOffFor = 'secrets' | 'source' | 'content';

/** So often in a row, without getting any further. */
const MOST_PUT_OFF = 8;
/** Of a run `r`. */
const PAUSE = `least(interval '10 minutes', interval '30 seconds' * 2 ^ r.put_off)`;

/**
 * Puts a run of a schedule that this attempt leads off, instead of its failing: half a minute, twice as long each time, ten minutes at the most. False: somebody
 * asked for the run and should hear of it, it was put off too often, the schedule has the next one before that, or this attempt has lost it.
 */
export async function putOffRun(
  db: Database,
  id: string,
  attempt: number,
  waitsFor: PutOffFor,
  error: { readonly code: string; readonly message: string; readonly hint?: string },
): Promise<boolean> {
  return db.transaction(async (tx) => {
    const [putOff] = await tx.query(
      `update lockgate.run r set state = 'queued', waits_for = $3, error = $4, retry_at = now() + ${PAUSE}, put_off = r.put_off + 1,
              stalled = 0, heartbeat_at = now()
         from lockgate.source s
        where r.id = $1 and r.attempt = $2 and r.state = 'running' and r.trigger = 'schedule' and not r.cancel_requested
          and r.put_off < ${MOST_PUT_OFF} and s.id = r.source_id and coalesce(s.next_due_at, 'infinity') > now() + ${PAUSE}
       returning r.id`,
      [id, attempt, waitsFor, JSON.stringify(error)],
    );
    if (putOff) await tx.query('delete from lockgate.hand where run_id = $1', [id]);
    return putOff !== undefined;
  });
}

/** Gives hands up that were not heard of. One that is just committing is waited for, and stays. */
export async function buryHands(db: Queryable, run: string): Promise<void> {
  await db.query(
    'delete from lockgate.hand where run_id = $1 and not leads and heartbeat_at < now() - make_interval(secs => $2)',
    [run, DEAD_AFTER_SECONDS],
  );
}

async function addHand(tx: Queryable, run: string, worker: string, leads: boolean): Promise<string> {
  const id = newId();
  await tx.query('insert into lockgate.hand (id, run_id, worker, leads) values ($1, $2, $3, $4)', [
    id,
    run,
    worker,
    leads,
  ]);
  return id;
}

/** Until the transaction ends: what is counted is what is there. */
async function oneAtATime(tx: Queryable): Promise<void> {
  await tx.query(`select pg_advisory_xact_lock(hashtextextended('lockgate hands', 0))`);
}

/** What has as many hands already as it may; null: there is room for one more on this run. Who is to lead takes its leader's place. */
async function fullOf(
  tx: Queryable,
  run: string,
  caps: Caps,
  leading: boolean,
): Promise<'credential' | 'quota' | 'workspace' | null> {
  if (caps.perCredential + caps.perQuota + caps.perWorkspace === 0) return null;
  const [count] = await tx.query<{ credential: number; quota: number; workspace: number }>(
    `with at_work as (
       select c.workspace, s.credential_manager, s.credential_id, s.quota
         from lockgate.hand h join lockgate.run r on r.id = h.run_id
         join lockgate.source s on s.id = r.source_id join lockgate.collection c on c.id = s.collection_id
        where h.heartbeat_at > now() - make_interval(secs => $2) and not (h.run_id = $1 and h.leads and $3)
     )
     select count(*) filter (where (a.workspace, a.credential_manager, a.credential_id) = (c.workspace, s.credential_manager, s.credential_id)) as credential,
            count(*) filter (where a.quota = s.quota) as quota,
            count(*) filter (where a.workspace = c.workspace) as workspace
       from lockgate.run r join lockgate.source s on s.id = r.source_id join lockgate.collection c on c.id = s.collection_id
       left join at_work a on true
      where r.id = $1`,
    [run, DEAD_AFTER_SECONDS, leading],
  );
  const over = (cap: number, hands: number | undefined) => cap > 0 && (hands ?? 0) >= cap;
  if (over(caps.perCredential, count?.credential)) return 'credential';
  if (over(caps.perQuota, count?.quota)) return 'quota';
  return over(caps.perWorkspace, count?.workspace) ? 'workspace' : null;
}

/** Runs that wait because as many hands were at work as may be, the longest waiting first. */
export async function waitingRuns(db: Queryable, limit: number): Promise<string[]> {
  const rows = await db.query<{ id: string }>(
    `select id from lockgate.run where state = 'queued' and waits_for is not null and retry_at is null order by created_at limit $1`,
    [limit],
  );
  return rows.map(({ id }) => id);
}

/** Ends every hand of a run but the one that leads it; of one worker only, where it is named. */
export async function dismissHelpers(db: Queryable, run: string, worker: string | null = null): Promise<void> {
  await db.query('delete from lockgate.hand where run_id = $1 and not leads and ($2::text is null or worker = $2)', [
    run,
    worker,
  ]);
}
