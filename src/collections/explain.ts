import type { Queryable } from '../contract/database.ts';
import type { DocumentRecord } from './documents.ts';
import { type FailureRecord, findFailure } from './failures.ts';

/** What the records know of one path of a source. */
export interface PathFacts {
  readonly path: string;
  readonly document: DocumentRecord | null;
  readonly failure: FailureRecord | null;
  /** The latest change of a document under the path. */
  readonly lastChange: { readonly kind: string; readonly at: Date } | null;
  /** What the latest plan said of it. */
  readonly planned: {
    readonly action: string;
    readonly reason: string;
    readonly size: number | null;
    readonly at: Date;
  } | null;
  /** When the latest complete listing began; null: there was none. */
  readonly listedAt: Date | null;
}

export async function explainPath(db: Queryable, sourceId: string, path: string): Promise<PathFacts> {
  const [document] = await db.query<DocumentRecord>(
    `select id, source_id as "sourceId", key, path, version, size, modified_at as "modifiedAt", content_type as "contentType",
            encode(sha256, 'hex') as sha256, stored_at as "storedAt", warning, grants
       from lockgate.document where source_id = $1 and (path = $2 or key = $2) limit 1`,
    [sourceId, path],
  );
  const failure = await findFailure(db, sourceId, path);
  const [lastChange] = await db.query<{ kind: string; at: Date }>(
    `select ch.kind, ch.at from lockgate.change ch join lockgate.source s on s.collection_id = ch.collection_id
      where s.id = $1 and ch.source_id = $1 and (ch.path = $2 or ch.key = $2) order by ch.number desc limit 1`,
    [sourceId, path],
  );
  const [planned] = await db.query<NonNullable<PathFacts['planned']>>(
    `select i.action, i.reason, i.size, p.created_at as at from lockgate.plan_item i join lockgate.plan p on p.id = i.plan_id
      where p.source_id = $1 and p.state in ('ready', 'executed') and (i.path = $2 or i.key = $2)
      order by p.created_at desc limit 1`,
    [sourceId, path],
  );
  const [listed] = await db.query<{ at: Date }>(
    `select started_at as at from lockgate.run where source_id = $1 and listing_complete and started_at is not null
      order by started_at desc limit 1`,
    [sourceId],
  );
  return {
    path,
    document: document ?? null,
    failure,
    lastChange: lastChange ?? null,
    planned: planned ?? null,
    listedAt: listed?.at ?? null,
  };
}
