import type { Queryable } from '../contract/database.ts';
import { LockgateError } from '../contract/errors.ts';
import { isId, newId } from './id.ts';

export interface WebhookRecord {
  readonly id: string;
  readonly collectionId: string;
  readonly url: string;
  readonly secretManager: string;
  readonly secretId: string;
  readonly enabled: boolean;
  /** The last change that was taken. */
  readonly after: number;
  readonly attempts: number;
  readonly error: string | null;
  readonly nextAt: Date | null;
  readonly createdAt: Date;
}

const COLUMNS = `w.id, w.collection_id as "collectionId", w.url, w.secret_manager as "secretManager", w.secret_id as "secretId",
  w.enabled, w.after_number as "after", w.attempts, w.error, w.next_at as "nextAt", w.created_at as "createdAt"`;

export async function createWebhook(
  db: Queryable,
  wish: { collectionId: string; url: string; secretManager: string; secretId: string; after: number },
): Promise<WebhookRecord> {
  const [created] = await db.query<WebhookRecord>(
    `insert into lockgate.webhook as w (id, collection_id, url, secret_manager, secret_id, after_number)
     values ($1, $2, $3, $4, $5, $6) returning ${COLUMNS}`,
    [newId(), wish.collectionId, wish.url, wish.secretManager, wish.secretId, wish.after],
  );
  return created as WebhookRecord;
}

export function listWebhooks(db: Queryable, collectionId: string): Promise<WebhookRecord[]> {
  return db.query<WebhookRecord>(
    `select ${COLUMNS} from lockgate.webhook w where w.collection_id = $1 order by w.created_at, w.id`,
    [collectionId],
  );
}

/** Throws `webhook_not_found`. */
export async function findWebhook(db: Queryable, workspace: string, id: string): Promise<WebhookRecord> {
  const [found] = isId(id)
    ? await db.query<WebhookRecord>(
        `select ${COLUMNS} from lockgate.webhook w join lockgate.collection c on c.id = w.collection_id
          where c.workspace = $1 and w.id = $2`,
        [workspace, id],
      )
    : [];
  if (found) return found;
  throw new LockgateError('webhook_not_found', `There is no webhook "${id.slice(0, 60)}".`);
}

/** Switches it; on means that what was not taken is tried again at once. */
export async function switchWebhook(db: Queryable, id: string, enabled: boolean): Promise<void> {
  await db.query('update lockgate.webhook set enabled = $2, attempts = 0, error = null, next_at = null where id = $1', [
    id,
    enabled,
  ]);
}

export async function removeWebhook(db: Queryable, id: string): Promise<void> {
  await db.query('delete from lockgate.webhook where id = $1', [id]);
}

/** Webhooks that have something to tell and may be tried. */
export function dueWebhooks(db: Queryable, limit: number): Promise<{ id: string }[]> {
  return db.query<{ id: string }>(
    `select w.id from lockgate.webhook w join lockgate.collection c on c.id = w.collection_id
      where w.enabled and c.last_change > w.after_number and (w.next_at is null or w.next_at <= now())
      order by w.next_at nulls first limit $1`,
    [limit],
  );
}

/** Where a webhook belongs, for a worker: workers serve all workspaces. */
export async function locateWebhook(
  db: Queryable,
  id: string,
): Promise<(WebhookRecord & { workspace: string; collection: string }) | null> {
  const [found] = await db.query<WebhookRecord & { workspace: string; collection: string }>(
    `select ${COLUMNS}, c.workspace, c.name as collection from lockgate.webhook w
       join lockgate.collection c on c.id = w.collection_id where w.id = $1 and w.enabled`,
    [id],
  );
  return found ?? null;
}

export async function noteTaken(db: Queryable, id: string, after: number): Promise<void> {
  await db.query(
    'update lockgate.webhook set after_number = $2, attempts = 0, error = null, next_at = null where id = $1',
    [id, after],
  );
}

/** `waitSeconds` null: it is not tried again until somebody switches it on. */
export async function noteRefused(db: Queryable, id: string, error: string, waitSeconds: number | null): Promise<void> {
  await db.query(
    `update lockgate.webhook set attempts = attempts + 1, error = $2, enabled = $3::float8 is not null,
            next_at = now() + make_interval(secs => coalesce($3, 0)) where id = $1`,
    [id, error, waitSeconds],
  );
}
