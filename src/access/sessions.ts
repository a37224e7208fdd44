import { randomBytes } from 'node:crypto';
import type { Queryable } from '../contract/database.ts';
import type { OidcIdentity } from './oidc.ts';
import { hashOf, type TokenRecord } from './tokens.ts';

/** Who signed in with a browser: the holder of a token, or somebody whom an issuer knows. */
export type SessionHolder = { readonly token: Pick<TokenRecord, 'id' | 'name' | 'workspace' | 'role'> } | OidcIdentity;

/** A working day; then one signs in again. */
export const SESSION_HOURS = 12;

/** Opens a session. Its words are for the browser's cookie and nowhere else; the database has a hash. */
export async function createSession(db: Queryable, holder: SessionHolder): Promise<string> {
  const words = randomBytes(32).toString('base64url');
  const [token, subject, grants] =
    'token' in holder ? [holder.token.id, null, null] : [null, holder.subject, JSON.stringify(holder.grants)];
  await db.query('delete from lockgate.session where expires_at < now()');
  await db.query(
    `insert into lockgate.session (hash, token_id, subject, grants, expires_at)
     values ($1, $2, $3, $4, now() + make_interval(hours => $5))`,
    [hashOf(words), token, subject, grants, SESSION_HOURS],
  );
  return words;
}

/** Whose session it is; null when it is unknown or over, or its token was revoked or has ended. */
export async function findSession(db: Queryable, words: string): Promise<SessionHolder | null> {
  const [found] = await db.query<TokenRecord & OidcIdentity & { tokenId: string | null }>(
    `select s.token_id as "tokenId", s.subject, s.grants, t.id, t.name, t.workspace, t.role
       from lockgate.session s left join lockgate.api_token t on t.id = s.token_id
      where s.hash = $1 and s.expires_at > now() and t.revoked_at is null
        and (t.expires_at is null or t.expires_at > now())`,
    [hashOf(words)],
  );
  if (!found) return null;
  if (found.tokenId === null) return { subject: found.subject, grants: found.grants };
  const { id, name, workspace, role } = found;
  return { token: { id, name, workspace, role } };
}

export async function endSession(db: Queryable, words: string): Promise<void> {
  await db.query('delete from lockgate.session where hash = $1', [hashOf(words)]);
}
