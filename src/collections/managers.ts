import type { Queryable } from '../contract/database.ts';

/** A secret manager that a workspace brought along; what opens it is a secret elsewhere. */
export interface ManagerRecord {
  readonly name: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

const SELECT = `select name, settings, created_at as "createdAt", updated_at as "updatedAt" from lockgate.secret_manager`;

export function listManagers(db: Queryable, workspace: string): Promise<ManagerRecord[]> {
  return db.query<ManagerRecord>(`${SELECT} where workspace = $1 order by name`, [workspace]);
}

export async function findManager(db: Queryable, workspace: string, name: string): Promise<ManagerRecord | null> {
  const [found] = await db.query<ManagerRecord>(`${SELECT} where workspace = $1 and name = $2`, [workspace, name]);
  return found ?? null;
}

/** Makes it, or changes what is known of it. */
export async function saveManager(db: Queryable, workspace: string, name: string, settings: object): Promise<void> {
  await db.query(
    `insert into lockgate.secret_manager (workspace, name, settings) values ($1, $2, $3)
     on conflict (workspace, name) do update set settings = excluded.settings, updated_at = now()`,
    [workspace, name, JSON.stringify(settings)],
  );
}

export async function removeManager(db: Queryable, workspace: string, name: string): Promise<void> {
  await db.query('delete from lockgate.secret_manager where workspace = $1 and name = $2', [workspace, name]);
}
