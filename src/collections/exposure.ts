import type { Queryable } from '../contract/database.ts';

/** What was fetched with a credential: by the runs that accessed it. */
export interface ExposedRun {
  readonly id: string;
  readonly sourceId: string;
  readonly collection: string;
  readonly path: string;
  readonly state: string;
  readonly credentialVersion: string | null;
  readonly startedAt: Date | null;
  readonly documents: number;
  readonly bytes: number;
}

export interface ExposedDocument {
  readonly documentId: string;
  readonly collection: string;
  readonly path: string;
  readonly kind: string;
  readonly runId: string;
  readonly at: Date;
}

/** Of these runs those that the workspace has, the newest first. */
export function exposedRuns(db: Queryable, workspace: string, runs: readonly string[]): Promise<ExposedRun[]> {
  return db.query<ExposedRun>(
    `select r.id, r.source_id as "sourceId", c.name as collection, s.path, r.state,
            r.credential_version as "credentialVersion", r.started_at as "startedAt",
            (r.added + r.changed)::int8 as documents, r.bytes
       from lockgate.run r join lockgate.source s on s.id = r.source_id join lockgate.collection c on c.id = s.collection_id
      where c.workspace = $1 and r.id = any($2::uuid[]) order by r.created_at desc, r.id`,
    [workspace, runs],
  );
}

/** What these runs brought, as far as the change feed still has it; the newest first. */
export async function exposedDocuments(
  db: Queryable,
  workspace: string,
  runs: readonly string[],
  limit: number,
): Promise<{ total: number; items: ExposedDocument[] }> {
  const of = `from lockgate.change h join lockgate.collection c on c.id = h.collection_id
      where c.workspace = $1 and h.run_id = any($2::uuid[]) and h.kind in ('added', 'changed')`;
  const [count] = await db.query<{ total: number }>(`select count(distinct h.document_id)::int8 as total ${of}`, [
    workspace,
    runs,
  ]);
  const items = await db.query<ExposedDocument>(
    `select h.document_id as "documentId", c.name as collection, h.path, h.kind, h.run_id as "runId", h.at ${of}
      order by h.at desc, h.number desc limit $3`,
    [workspace, runs, limit],
  );
  return { total: count?.total ?? 0, items };
}
