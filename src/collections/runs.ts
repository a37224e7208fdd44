import { isUniqueViolation, type Queryable } from '../contract/database.ts';
import { LockgateError } from '../contract/errors.ts';
import type { RunState } from '../contract/run.ts';
import { DEAD_AFTER_SECONDS, type PutOffFor } from './hands.ts';
import { isId, newId } from './id.ts';
import { settleChunks } from './listing-chunks.ts';

export interface RunRecord {
  readonly id: string;
  readonly sourceId: string;
  readonly collection: string;
  readonly path: string;
  readonly trigger: 'manual' | 'schedule';
  readonly state: RunState;
  readonly attempt: number;
  /** Why it is queued: what has as many workers as it may; `worker`: none takes the source's label; or who is away. */
  readonly waitsFor: 'credential' | 'quota' | 'workspace' | 'worker' | PutOffFor | null;
  /** When it is tried again, where who is away is waited for. */
  readonly retryAt: Date | null;
  readonly pages: number;
  readonly listed: number;
  readonly excluded: number;
  readonly unchanged: number;
  readonly added: number;
  readonly changed: number;
  readonly moved: number;
  readonly removed: number;
  readonly failed: number;
  readonly bytes: number;
  readonly planned: number;
  readonly plannedBytes: number;
  readonly missing: number;
  /** To the source, each attempt counted. */
  readonly requests: number;
  readonly requestsThrottled: number;
  readonly requestsFailed: number;
  /** How often the secret manager had to be asked again. */
  readonly secretWaits: number;
  readonly listingComplete: boolean;
  readonly credentialVersion: string | null;
  readonly error: { code: string; message: string; hint?: string } | null;
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
}

const WAITS_FOR = `case when r.state <> 'queued' then null when r.waits_for is not null then r.waits_for
    when s.worker_label is not null and not exists (
      select 1 from lockgate.worker w where s.worker_label = any(w.labels) and w.heartbeat_at > now() - interval '30 seconds') then 'worker' end`;

const SELECT = `
  select r.id, r.source_id as "sourceId", c.name as collection, s.path, r.trigger, r.state, r.attempt, ${WAITS_FOR} as "waitsFor",
         case when r.state = 'queued' then r.retry_at end as "retryAt", r.pages, r.listed,
         r.excluded, r.unchanged, r.added, r.changed, r.moved, r.removed, r.failed, r.bytes, r.planned,
         r.planned_bytes as "plannedBytes", r.missing, r.requests, r.requests_throttled as "requestsThrottled",
         r.requests_failed as "requestsFailed", r.secret_waits as "secretWaits",
         r.listing_complete as "listingComplete",
         r.credential_version as "credentialVersion", r.error, r.created_at as "createdAt",
         r.started_at as "startedAt", r.finished_at as "finishedAt"
    from lockgate.run r
    join lockgate.source s on s.id = r.source_id
    join lockgate.collection c on c.id = s.collection_id`;

/** A new run of the source, which does what `planId` says; null: one is queued or running. */
export async function addRun(
  db: Queryable,
  sourceId: string,
  trigger: RunRecord['trigger'],
  planId: string | null = null,
): Promise<string | null> {
  const [added] = await db.query<{ id: string }>(
    `insert into lockgate.run (id, source_id, trigger, plan_id) values ($1, $2, $3, $4)
     on conflict (source_id) where state in ('queued', 'running') do nothing returning id`,
    [newId(), sourceId, trigger, planId],
  );
  if (!added) return null;
  // What waited for approval was found by an older listing; the new run finds it again.
  await db.query(
    `update lockgate.run set state = 'superseded', finished_at = now() where source_id = $1 and state = 'needs_approval'`,
    [sourceId],
  );
  return added.id;
}

/** The run of the source that is queued or running, or a new one. */
export async function requestRun(db: Queryable, sourceId: string, trigger: RunRecord['trigger']): Promise<string> {
  const added = await addRun(db, sourceId, trigger);
  if (added) return added;
  const [active] = await db.query<{ id: string }>(
    `select id from lockgate.run where source_id = $1 and state in ('queued', 'running')`,
    [sourceId],
  );
  return active ? active.id : requestRun(db, sourceId, trigger);
}

export async function noteCredentialVersion(db: Queryable, id: string, version: string): Promise<void> {
  await db.query('update lockgate.run set credential_version = $2 where id = $1', [id, version]);
}

export async function noteSecretWait(db: Queryable, id: string): Promise<void> {
  await db.query('update lockgate.run set secret_waits = secret_waits + 1 where id = $1', [id]);
}

export async function noteRequests(
  db: Queryable,
  id: string,
  { requests, throttled, failed }: { requests: number; throttled: number; failed: number },
): Promise<void> {
  await db.query(
    `update lockgate.run set requests = requests + $2, requests_throttled = requests_throttled + $3,
            requests_failed = requests_failed + $4 where id = $1`,
    [id, requests, throttled, failed],
  );
}

/** Ends an attempt's run. Does nothing when the attempt has lost it. */
export async function finishRun(
  db: Queryable,
  id: string,
  attempt: number,
  state: RunState,
  error: RunRecord['error'],
  missing: number,
): Promise<void> {
  const ended = await db.query<{ sourceId: string }>(
    `update lockgate.run set state = $3, error = $4, missing = $5, finished_at = now()
      where id = $1 and attempt = $2 and state = 'running' returning source_id as "sourceId"`,
    [id, attempt, state, error ? JSON.stringify(error) : null, missing],
  );
  if (ended[0]) await db.query('delete from lockgate.hand where run_id = $1', [id]);
  if (ended[0] && (state === 'failed' || state === 'completed' || state === 'needs_approval')) {
    await db.query(
      `update lockgate.source set failures = case when $2 then failures + 1 else 0 end,
              paused_at = case when $2 and failures + 1 >= pause_after then coalesce(paused_at, now()) else paused_at end,
              paused_reason = case when $2 and failures + 1 >= pause_after then coalesce(paused_reason, $3) else paused_reason end
        where id = $1`,
      [ended[0].sourceId, state === 'failed', `Too many runs in a row failed, the last with: ${error?.message ?? ''}`],
    );
  }
  if (!ended[0] || state === 'needs_approval') return;
  await db.query('delete from lockgate.fetch_batch where run_id = $1', [id]);
  await db.query('delete from lockgate.listing_part where run_id = $1', [id]);
  if (state !== 'completed') return;
  await db.query('update lockgate.source set last_completed_at = now() where id = $1', [ended[0].sourceId]);
  // Whatever still fails has failed again in this run; the rest was stored, removed or is no longer wanted.
  await db.query('delete from lockgate.document_failure where source_id = $1 and run_id <> $2', [
    ended[0].sourceId,
    id,
  ]);
  await settleChunks(db, ended[0].sourceId, id);
}

export function listRuns(
  db: Queryable,
  workspace: string,
  filter: { collection?: string; sourceId?: string; state?: RunState },
  limit: number,
): Promise<RunRecord[]> {
  return db.query<RunRecord>(
    `${SELECT} where c.workspace = $1 and ($2::text is null or c.name = $2) and ($3::uuid is null or s.id = $3)
        and ($4::text is null or r.state = $4)
      order by r.created_at desc, r.id desc limit $5`,
    [workspace, filter.collection ?? null, filter.sourceId ?? null, filter.state ?? null, limit],
  );
}

/** Throws `run_not_found`. */
export async function findRun(db: Queryable, workspace: string, id: string): Promise<RunRecord> {
  const [found] = isId(id)
    ? await db.query<RunRecord>(`${SELECT} where c.workspace = $1 and r.id = $2`, [workspace, id])
    : [];
  if (found) return found;
  throw new LockgateError('run_not_found', `There is no run "${id}".`, 'List them with: lockgate runs list');
}

/** Where a run belongs, for a worker: workers serve all workspaces. Null when there is no such run. */
export async function locateRun(
  db: Queryable,
  id: string,
): Promise<{ sourceId: string; workspace: string; state: RunState; planId: string | null } | null> {
  const [found] = await db.query<{ sourceId: string; workspace: string; state: RunState; planId: string | null }>(
    `select r.source_id as "sourceId", c.workspace, r.state, r.plan_id as "planId"
       from lockgate.run r
       join lockgate.source s on s.id = r.source_id
       join lockgate.collection c on c.id = s.collection_id
      where r.id = $1`,
    [id],
  );
  return found ?? null;
}

/** How an unfinished run is led; null: it has ended. */
export async function whoLeads(
  db: Queryable,
  id: string,
): Promise<{ attempt: number; isLed: boolean; isSilent: boolean } | null> {
  const [found] = await db.query<{ attempt: number; isLed: boolean; isSilent: boolean }>(
    `select attempt, state = 'running' as "isLed", heartbeat_at < now() - make_interval(secs => $2) as "isSilent"
       from lockgate.run where id = $1 and state in ('queued', 'running')`,
    [id, DEAD_AFTER_SECONDS],
  );
  return found ?? null;
}

/** Ends a queued run, and asks a running one to stop. Throws `run_ended`. */
export async function cancelRun(db: Queryable, run: RunRecord): Promise<void> {
  const cancelled = await db.query(
    `update lockgate.run set cancel_requested = true,
            state = case when state = 'running' then 'running' else 'cancelled' end,
            finished_at = case when state = 'running' then null else now() end
      where id = $1 and state in ('queued', 'running', 'needs_approval') returning id`,
    [run.id],
  );
  if (cancelled.length === 0) throw new LockgateError('run_ended', `The run has ended already: it is ${run.state}.`);
}

/**
 * Lets a run that stopped as `needs_approval` remove what its listing missed; one that was let so before and was interrupted goes on. Throws
 * `run_not_waiting`, and `source_busy` when another run is under way.
 */
export async function approveRun(db: Queryable, run: RunRecord): Promise<void> {
  const approved = await db
    .query(
      `update lockgate.run set state = case state when 'needs_approval' then 'queued' else state end, approved = true, finished_at = null
        where id = $1 and (state = 'needs_approval' or (state in ('queued', 'running') and approved)) returning id`,
      [run.id],
    )
    .catch((error: unknown) => {
      if (!isUniqueViolation(error)) throw error;
      throw new LockgateError(
        'source_busy',
        'The source is being synced.',
        'Look at what that run says when it has ended.',
      );
    });
  if (approved.length === 0) {
    throw new LockgateError('run_not_waiting', `The run does not wait for approval: it is ${run.state}.`);
  }
}

/** Runs that nobody works on any more: queued without a job, put off until now, or running without a heartbeat for `seconds`. */
export function abandonedRuns(db: Queryable, seconds: number): Promise<{ id: string; label: string | null }[]> {
  return db.query<{ id: string; label: string | null }>(
    `select r.id, s.worker_label as label from lockgate.run r join lockgate.source s on s.id = r.source_id
      where (r.state = 'running' and r.heartbeat_at < now() - make_interval(secs => $1))
         or (r.state = 'queued' and r.created_at < now() - make_interval(secs => $1) and coalesce(r.retry_at, now()) <= now())`,
    [seconds],
  );
}
