import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Queryable } from '../contract/database.ts';
import { LockgateError } from '../contract/errors.ts';
import type { Role } from './roles.ts';

export interface TokenRecord {
  readonly id: string;
  readonly name: string;
  /** Null: every workspace. */
  readonly workspace: string | null;
  readonly role: Role;
  readonly createdAt: Date;
  readonly createdBy: string;
  readonly expiresAt: Date | null;
  readonly revokedAt: Date | null;
  readonly lastUsedAt: Date | null;
}

const COLUMNS = `id, name, workspace, role, created_at as "createdAt", created_by as "createdBy", expires_at as "expiresAt",
         revoked_at as "revokedAt", last_used_at as "lastUsedAt"`;
const FORM = /^lgt_([a-z0-9]{12})_([A-Za-z0-9_-]{43})$/;
/** How exactly the last use is known. */
const LAST_USE_SECONDS = 60;

/** A token as its holder has it is given out here, once: 256 random bits, of which the database has a hash. */
export async function createToken(
  db: Queryable,
  wish: { name: string; workspace: string | null; role: Role; createdBy: string; expiresAt: Date | null },
): Promise<TokenRecord & { readonly token: string }> {
  const { id, hash, token } = newTokenText('lgt');
  const [record] = await db.query<TokenRecord>(
    `insert into lockgate.api_token (id, name, workspace, role, hash, created_by, expires_at)
     values ($1, $2, $3, $4, $5, $6, $7) returning ${COLUMNS}`,
    [id, wish.name, wish.workspace, wish.role, hash, wish.createdBy, wish.expiresAt],
  );
  return { ...(record as TokenRecord), token };
}

/** The token of those words, unless it is unknown, revoked or expired: then null, and no word of why. */
export async function findByToken(db: Queryable, words: string, now: Date): Promise<TokenRecord | null> {
  const found = FORM.exec(words);
  const [record] = found
    ? await db.query<TokenRecord & { hash: Buffer }>(`select ${COLUMNS}, hash from lockgate.api_token where id = $1`, [
        found[1],
      ])
    : [];
  // As long for a token that does not exist.
  const same = timingSafeEqual(record?.hash ?? hashOf(''), hashOf(found?.[2] ?? 'none'));
  if (!record || !same || record.revokedAt || (record.expiresAt && record.expiresAt <= now)) return null;
  await db.query(
    `update lockgate.api_token set last_used_at = $2
      where id = $1 and (last_used_at is null or last_used_at < $2::timestamptz - make_interval(secs => $3))`,
    [record.id, now, LAST_USE_SECONDS],
  );
  const { hash: _, ...rest } = record;
  return rest;
}

/** Those of a workspace; with null, also those of the whole deployment. */
export function listTokens(db: Queryable, workspace: string, everywhere: boolean): Promise<TokenRecord[]> {
  return db.query<TokenRecord>(
    `select ${COLUMNS} from lockgate.api_token where workspace = $1 or ($2 and workspace is null) order by created_at, id`,
    [workspace, everywhere],
  );
}

/** Throws `token_not_found`. */
export async function revokeToken(db: Queryable, workspace: string, everywhere: boolean, id: string): Promise<void> {
  const revoked = await db.query(
    `update lockgate.api_token set revoked_at = coalesce(revoked_at, now())
      where id = $1 and (workspace = $2 or ($3 and workspace is null)) returning id`,
    [id, workspace, everywhere],
  );
  if (revoked.length === 0) throw new LockgateError('token_not_found', `There is no token "${id.slice(0, 40)}".`);
}

/** The first token of a deployment; null when there has been one before. Of processes that ask at once, one gets it. */
export async function bootstrapToken(db: Queryable): Promise<string | null> {
  const first = await db.query(
    `insert into lockgate.bootstrap (single) values (true) on conflict do nothing returning single`,
  );
  if (first.length === 0) return null;
  const wish = { name: 'bootstrap', workspace: null, role: 'admin' as const, createdBy: 'lockgate', expiresAt: null };
  return (await createToken(db, wish)).token;
}

/** The words of a new token, and what a database keeps of them. */
export function newTokenText(prefix: string): { readonly id: string; readonly hash: Buffer; readonly token: string } {
  const id = randomBytes(6).toString('hex');
  const secret = randomBytes(32).toString('base64url');
  return { id, hash: hashOf(secret), token: `${prefix}_${id}_${secret}` };
}

/** Of the secret in a token's words. */
export function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}
