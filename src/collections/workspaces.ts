import type { Queryable } from '../contract/database.ts';
import { LockgateError } from '../contract/errors.ts';

export interface WorkspaceRecord {
  readonly id: string;
  readonly createdAt: Date | null;
}

/** `only` null: all. */
export function listWorkspaces(db: Queryable, only: readonly string[] | null): Promise<WorkspaceRecord[]> {
  return db.query<WorkspaceRecord>(
    `select id, created_at as "createdAt" from lockgate.workspace where $1::text[] is null or id = any($1) order by id`,
    [only],
  );
}

/** Throws `workspace_exists`. */
export async function createWorkspace(db: Queryable, id: string): Promise<WorkspaceRecord> {
  const [created] = await db.query<WorkspaceRecord>(
    `insert into lockgate.workspace (id) values ($1) on conflict do nothing returning id, created_at as "createdAt"`,
    [id],
  );
  if (created) return created;
  throw new LockgateError('workspace_exists', `There is already a workspace "${id}".`);
}

export async function workspaceExists(db: Queryable, id: string): Promise<boolean> {
  return (await db.query('select 1 from lockgate.workspace where id = $1', [id])).length > 0;
}
