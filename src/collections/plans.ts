import type { Queryable } from '../contract/database.ts';
import { InputError, LockgateError } from '../contract/errors.ts';
import { storableKey, storableText } from '../contract/storable.ts';
import { isId, newId } from './id.ts';
import { addRun } from './runs.ts';

export const PLAN_ACTIONS = ['add', 'change', 'move', 'remove', 'skip'] as const;
export type PlanAction = (typeof PLAN_ACTIONS)[number];

export interface PlanItem {
  readonly action: PlanAction;
  readonly key: string;
  readonly path: string;
  readonly version: string | null;
  readonly size: number | null;
  readonly reason: string;
}

export interface PlanRecord {
  readonly id: string;
  readonly sourceId: string;
  readonly state: 'planning' | 'ready' | 'failed' | 'executed';
  readonly add: number;
  readonly change: number;
  readonly move: number;
  readonly remove: number;
  readonly skip: number;
  readonly unchanged: number;
  readonly bytes: number;
  readonly error: { code: string; message: string; hint?: string } | null;
  readonly createdAt: Date;
}

const COUNT = (action: PlanAction) =>
  `(select count(*) from lockgate.plan_item i where i.plan_id = p.id and i.action = '${action}') as "${action}"`;

/** A new plan of a source; older ones that were never executed go. */
export async function createPlan(db: Queryable, sourceId: string): Promise<string> {
  const id = newId();
  await db.query(
    `delete from lockgate.plan where source_id = $1 and created_at < now() - interval '7 days'
        and not exists (select 1 from lockgate.run r where r.plan_id = plan.id)`,
    [sourceId],
  );
  await db.query('insert into lockgate.plan (id, source_id) values ($1, $2)', [id, sourceId]);
  return id;
}

/** Throws `plan_not_found`. */
export async function findPlan(db: Queryable, workspace: string, id: string): Promise<PlanRecord> {
  const [found] = isId(id)
    ? await db.query<PlanRecord>(
        `select p.id, p.source_id as "sourceId", p.state, ${PLAN_ACTIONS.map(COUNT).join(', ')}, p.unchanged, p.bytes, p.error,
                p.created_at as "createdAt"
           from lockgate.plan p join lockgate.source s on s.id = p.source_id
           join lockgate.collection c on c.id = s.collection_id
          where c.workspace = $1 and p.id = $2`,
        [workspace, id],
      )
    : [];
  if (found) return found;
  throw new LockgateError('plan_not_found', `There is no plan "${id.slice(0, 60)}".`);
}

/** Of whose source a plan is, for a worker: workers serve all workspaces. */
export async function locatePlan(db: Queryable, id: string): Promise<{ workspace: string; sourceId: string } | null> {
  const [found] = await db.query<{ workspace: string; sourceId: string }>(
    `select c.workspace, p.source_id as "sourceId" from lockgate.plan p
       join lockgate.source s on s.id = p.source_id join lockgate.collection c on c.id = s.collection_id
      where p.id = $1 and p.state = 'planning'`,
    [id],
  );
  return found ?? null;
}

export async function addPlanItems(db: Queryable, id: string, items: readonly PlanItem[]): Promise<void> {
  if (items.length === 0) return;
  const column = <K extends keyof PlanItem>(name: K) => items.map((item) => item[name]);
  const texts = (name: 'path' | 'version' | 'reason') => items.map((item) => item[name] && storableText(item[name]));
  await db.query(
    `insert into lockgate.plan_item (plan_id, action, key, path, version, size, reason)
     select $1, * from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[])`,
    [
      id,
      column('action'),
      items.map(({ key }) => storableKey(key)),
      texts('path'),
      texts('version'),
      column('size'),
      texts('reason'),
    ],
  );
}

export async function countPlanned(db: Queryable, id: string, unchanged: number, bytes: number): Promise<void> {
  await db.query('update lockgate.plan set unchanged = unchanged + $2, bytes = bytes + $3 where id = $1', [
    id,
    unchanged,
    bytes,
  ]);
}

export async function endPlan(
  db: Queryable,
  id: string,
  state: PlanRecord['state'],
  error: PlanRecord['error'] = null,
): Promise<void> {
  await db.query('update lockgate.plan set state = $2, error = $3 where id = $1', [
    id,
    state,
    error ? JSON.stringify(error) : null,
  ]);
}

/** Begins anew what was listed so far. */
export async function clearPlan(db: Queryable, id: string): Promise<void> {
  await db.query('delete from lockgate.plan_item where plan_id = $1', [id]);
  await db.query('update lockgate.plan set unchanged = 0, bytes = 0 where id = $1', [id]);
}

export async function listPlanItems(
  db: Queryable,
  id: string,
  action: PlanAction | null,
  limit: number,
  cursor: string | null,
): Promise<{ total: number; items: PlanItem[]; nextCursor: string | null }> {
  if (cursor !== null && !/^\d{1,18}$/.test(cursor))
    throw new InputError('invalid_cursor', 'The cursor is not one that this list gave out.');
  const rows = await db.query<PlanItem & { number: number }>(
    `select number, action, key, path, version, size, reason from lockgate.plan_item
      where plan_id = $1 and ($2::text is null or action = $2) and number > $3 order by number limit $4`,
    [id, action, Number(cursor ?? 0), limit],
  );
  const [count] = await db.query<{ total: number }>(
    'select count(*) as total from lockgate.plan_item where plan_id = $1 and ($2::text is null or action = $2)',
    [id, action],
  );
  const last = rows.at(-1);
  return {
    total: count?.total ?? 0,
    items: rows.map(({ number: _, ...item }) => item),
    nextCursor: last && rows.length === limit ? String(last.number) : null,
  };
}

/** Which of these keys, as they can be stored, a plan acts on, and on which version. */
export async function plannedFor(
  db: Queryable,
  id: string,
  keys: readonly string[],
): Promise<Map<string, { action: PlanAction; version: string | null }>> {
  const rows = await db.query<{ key: string; action: PlanAction; version: string | null }>(
    'select key, action, version from lockgate.plan_item where plan_id = $1 and key = any($2)',
    [id, keys],
  );
  return new Map(rows.map(({ key, action, version }) => [key, { action, version }]));
}

/**
 * The run that does what the plan says: a new one, or the one that was interrupted. For a transaction: when it fails, the plan is as ready as before. Throws
 * `plan_not_ready`, and `source_busy` when another run is under way.
 */
export async function executePlan(tx: Queryable, plan: PlanRecord): Promise<string> {
  const taken = await tx.query(
    `update lockgate.plan set state = 'executed' where id = $1 and state = 'ready' returning id`,
    [plan.id],
  );
  if (taken.length === 0) {
    const [open] = await tx.query<{ id: string }>(
      `select id from lockgate.run where plan_id = $1 and state in ('queued', 'running')`,
      [plan.id],
    );
    if (open) return open.id;
    const state = plan.state === 'ready' ? 'executed' : plan.state;
    throw new LockgateError('plan_not_ready', `The plan is ${state}.`, 'Make a new one: lockgate sync --dry-run');
  }
  const added = await addRun(tx, plan.sourceId, 'manual', plan.id);
  if (added) return added;
  throw new LockgateError(
    'source_busy',
    'The source is being synced.',
    'Execute the plan when the run has ended, or make a new one.',
  );
}
