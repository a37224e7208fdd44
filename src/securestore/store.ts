import type { Database, Queryable } from '../contract/database.ts';
import { LockgateError } from '../contract/errors.ts';
import type { Sealed } from './seal.ts';

/** One secret, as it may be shown to whoever may list it. */
export interface StoredSecret {
  readonly workspace: string;
  readonly id: string;
  readonly type: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly scope: unknown;
  readonly expiresAt: Date | null;
  /** Changes with everything that is said of the secret. */
  readonly etag: string;
  readonly createdAt: Date;
  readonly createdBy: string;
  /** Set: it is deleted, and goes for good then. */
  readonly purgeAt: Date | null;
}

export interface StoredVersion {
  readonly version: number;
  readonly state: 'enabled' | 'disabled' | 'destroyed';
  readonly createdAt: Date;
  readonly createdBy: string;
}

const SECRET = `workspace, id, type, labels, scope, expires_at as "expiresAt", etag::text as etag,
  created_at as "createdAt", created_by as "createdBy", purge_at as "purgeAt"`;

export async function storeId(db: Queryable): Promise<string> {
  const [row] = await db.query<{ id: string }>('select id from securestore.store');
  return row?.id ?? '';
}

/** In the order of their IDs, after one of them. */
export function listSecrets(
  db: Queryable,
  workspace: string,
  { type, after, limit }: { readonly type: string | null; readonly after: string; readonly limit: number },
): Promise<StoredSecret[]> {
  return db.query<StoredSecret>(
    `select ${SECRET} from securestore.secret
      where workspace = $1 and purge_at is null and ($2::text is null or type = $2) and id collate "C" > $3
      order by id collate "C" limit $4`,
    [workspace, type, after, limit],
  );
}

/** Null: there is none, or it is deleted. */
export async function findSecret(db: Queryable, workspace: string, id: string): Promise<StoredSecret | null> {
  const [row] = await db.query<StoredSecret>(
    `select ${SECRET} from securestore.secret where workspace = $1 and id = $2 and purge_at is null`,
    [workspace, id],
  );
  return row ?? null;
}

/** The latest first. */
export function versionsOf(db: Queryable, workspace: string, id: string): Promise<StoredVersion[]> {
  return db.query<StoredVersion>(
    `select version, state, created_at as "createdAt", created_by as "createdBy" from securestore.version
      where workspace = $1 and id = $2 order by version desc`,
    [workspace, id],
  );
}

export interface NewVersion {
  readonly workspace: string;
  readonly id: string;
  readonly type: string;
  readonly by: string;
  /** Absent: as they were. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly scope?: unknown;
  readonly expiresAt: Date | null;
  /** The version that must be the latest: 0 for none; absent: whatever it is. */
  readonly expected?: number | undefined;
  /** Names the request, so that it is done once however often it is sent. */
  readonly requestKey?: string | undefined;
  /** Whether a deleted secret may be made anew: what is left of it is destroyed. */
  readonly mayReplaceDeleted: boolean;
  seal(version: number): Promise<Sealed>;
}

/** Adds a version, and the secret with its first. Throws `precondition_failed`, `type_differs` and `secret_deleted`. */
export function addVersion(db: Database, wish: NewVersion): Promise<{ version: number; repeated: boolean }> {
  return db.transaction(async (tx) => {
    await tx.query('select pg_advisory_xact_lock(hashtextextended($1, 2))', [`${wish.workspace} ${wish.id}`]);
    const { workspace, id } = wish;
    const [known] = await tx.query<StoredSecret & { next: number }>(
      `select ${SECRET}, next_version as next from securestore.secret where workspace = $1 and id = $2`,
      [workspace, id],
    );
    const deleted = known?.purgeAt != null;
    if (deleted && !wish.mayReplaceDeleted) {
      throw new LockgateError('secret_deleted', 'The secret is deleted.', 'Undelete it, or wait until it is gone.');
    }
    if (deleted) await tx.query(`${DESTROY} where workspace = $1 and id = $2`, [workspace, id]);
    const [done] = wish.requestKey
      ? await tx.query<{ version: number }>(
          'select version from securestore.version where workspace = $1 and id = $2 and request_key = $3',
          [workspace, id, wish.requestKey],
        )
      : [];
    if (done) return { version: done.version, repeated: true };
    if (known && !deleted && known.type !== wish.type) {
      throw new LockgateError(
        'type_differs',
        `The secret is of type ${known.type}.`,
        'Choose another ID, or delete it first.',
      );
    }
    const [latest] = known && !deleted ? await versionsOf(tx, workspace, id) : [];
    if (wish.expected !== undefined && wish.expected !== (latest?.version ?? 0)) {
      throw new LockgateError(
        'precondition_failed',
        `The latest version is ${latest?.version ?? 0} and not ${wish.expected}.`,
        'Look at it again, and decide anew.',
      );
    }
    const version = known?.next ?? (await firstVersion(tx, workspace, id));
    await writeSecret(tx, wish, deleted ? null : (known ?? null), version);
    const { kek, wrapped, iv, data, commitment } = await wish.seal(version);
    await tx.query(
      `insert into securestore.version (workspace, id, version, kek, wrapped, iv, data, commitment, request_key, created_by)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
      [workspace, id, version, kek, wrapped, iv, data, commitment, wish.requestKey ?? null, wish.by],
    );
    return { version, repeated: false };
  });
}

const DESTROY = `update securestore.version set state = 'destroyed', kek = null, wrapped = null, iv = null, data = null,
  commitment = null, request_key = null`;

async function firstVersion(tx: Queryable, workspace: string, id: string): Promise<number> {
  const [used] = await tx.query<{ next: number }>(
    'select next_version as next from securestore.used_version where workspace = $1 and id = $2',
    [workspace, id],
  );
  return used?.next ?? 1;
}

async function writeSecret(
  tx: Queryable,
  { workspace, id, type, by, labels, scope, expiresAt }: NewVersion,
  known: StoredSecret | null,
  version: number,
): Promise<void> {
  const values = [
    workspace,
    id,
    type,
    JSON.stringify(labels ?? known?.labels ?? {}),
    JSON.stringify(scope === undefined ? (known?.scope ?? null) : scope),
    expiresAt,
    version + 1,
    by,
  ];
  await tx.query(
    `insert into securestore.secret (workspace, id, type, labels, scope, expires_at, next_version, created_by)
     values ($1, $2, $3, $4, nullif($5::jsonb, 'null'), $6, $7, $8)
     on conflict (workspace, id) do update set type = excluded.type, purge_at = null, labels = excluded.labels, scope = excluded.scope,
       expires_at = excluded.expires_at, next_version = excluded.next_version, etag = securestore.secret.etag + 1`,
    values,
  );
}

/** Throws `precondition_failed` when something has changed since `etag`. Null: there is none. */
export async function labelSecret(
  db: Queryable,
  workspace: string,
  id: string,
  labels: Readonly<Record<string, string>>,
  etag: string | null,
): Promise<StoredSecret | null> {
  const found = await findSecret(db, workspace, id);
  if (!found) return null;
  const [row] = await db.query<StoredSecret>(
    `update securestore.secret set labels = $3, etag = etag + 1
      where workspace = $1 and id = $2 and purge_at is null and ($4::bigint is null or etag = $4::bigint) returning ${SECRET}`,
    [workspace, id, JSON.stringify(labels), etag],
  );
  if (row) return row;
  throw new LockgateError('precondition_failed', 'Somebody has changed the secret meanwhile.', 'Look at it again.');
}

export interface SealedVersion extends StoredVersion {
  readonly secret: StoredSecret;
  /** Null: it is destroyed. */
  readonly sealed: Sealed | null;
}

/** `latest`: the newest that is not destroyed. Null: there is none. */
export async function findVersion(
  db: Queryable,
  workspace: string,
  id: string,
  version: number | 'latest',
): Promise<SealedVersion | null> {
  const secret = await findSecret(db, workspace, id);
  if (!secret) return null;
  const [row] = await db.query<StoredVersion & Sealed>(
    `select version, state, created_at as "createdAt", created_by as "createdBy", kek, wrapped, iv, data, commitment
       from securestore.version where workspace = $1 and id = $2
        and case when $3::int is null then state <> 'destroyed' else version = $3 end
      order by version desc limit 1`,
    [workspace, id, version === 'latest' ? null : version],
  );
  if (!row) return null;
  const { kek, wrapped, iv, data, commitment, ...known } = row;
  return { ...known, secret, sealed: data ? { kek, wrapped, iv, data, commitment } : null };
}

/** What is destroyed stays so. Throws `version_destroyed`. False: there is no such version. */
export async function setState(
  db: Queryable,
  workspace: string,
  id: string,
  version: number,
  state: StoredVersion['state'],
): Promise<boolean> {
  if ((await findSecret(db, workspace, id)) === null) return false;
  const where = 'where workspace = $1 and id = $2 and version = $3';
  const values = [workspace, id, version];
  const changed =
    state === 'destroyed'
      ? await db.query(`${DESTROY} ${where} returning version`, values)
      : await db.query(
          `update securestore.version set state = $4 ${where} and state <> 'destroyed' returning version`,
          [...values, state],
        );
  if (changed.length > 0) return true;
  const [there] = await db.query(
    'select 1 from securestore.version where workspace = $1 and id = $2 and version = $3',
    [workspace, id, version],
  );
  if (!there) return false;
  throw new LockgateError('version_destroyed', 'The version is destroyed for good.');
}

/** Hides a secret at once; it goes for good after the time of grace. False: there is none. */
export async function deleteSecret(
  db: Database,
  workspace: string,
  id: string,
  graceSeconds: number,
): Promise<{ purgeAt: Date } | null> {
  const [row] = await db.query<{ purgeAt: Date }>(
    `update securestore.secret set purge_at = now() + make_interval(secs => $3), etag = etag + 1
      where workspace = $1 and id = $2 and purge_at is null returning purge_at as "purgeAt"`,
    [workspace, id, graceSeconds],
  );
  if (row && graceSeconds === 0) await purge(db);
  return row ?? null;
}

/** Brings back what is deleted and not yet gone. */
export async function undeleteSecret(db: Queryable, workspace: string, id: string): Promise<boolean> {
  const rows = await db.query(
    `update securestore.secret set purge_at = null, etag = etag + 1
      where workspace = $1 and id = $2 and purge_at > now() returning id`,
    [workspace, id],
  );
  return rows.length > 0;
}

/** Removes what was deleted, when its time of grace is over. Returns how many secrets. */
export function purge(db: Database): Promise<number> {
  return db.transaction(async (tx) => {
    const gone = await tx.query(
      `with gone as (delete from securestore.secret where purge_at <= now() returning workspace, id, next_version)
       insert into securestore.used_version select workspace, id, next_version from gone
       on conflict (workspace, id) do update set next_version = greatest(securestore.used_version.next_version, excluded.next_version)
       returning id`,
    );
    return gone.length;
  });
}
