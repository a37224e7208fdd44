import type { OidcIdentity } from '../access/oidc.ts';
import { permissionsOf } from '../access/roles.ts';
import { findSession } from '../access/sessions.ts';
import { findByToken, type TokenRecord } from '../access/tokens.ts';
import { workspaceExists } from '../collections/workspaces.ts';
import type { Permission } from '../contract/api/endpoint.ts';
import type { Queryable } from '../contract/database.ts';
import { LockgateError } from '../contract/errors.ts';
import type { Caller } from '../service/parts.ts';
import type { Proof } from './parts.ts';

export interface AuthenticateParts {
  readonly db: Queryable;
  /** Null: tokens of ours only. */
  readonly oidc: ((token: string) => Promise<OidcIdentity | null>) | null;
  /** Where those are who may be everywhere and do not say. */
  readonly defaultWorkspace: string;
}

const MAX_TOKEN_CHARACTERS = 16_384;

/**
 * Who asks, by the header `Authorization` or else by the session of a browser, in the workspace of the header `Lockgate-Workspace`. Throws `unauthenticated` for
 * whoever has no valid token, whatever is wrong with it, and `forbidden` for a workspace that they may not use.
 */
export function authenticator({ db, oidc, defaultWorkspace }: AuthenticateParts) {
  return async ({ authorization, session }: Proof, wanted: string | undefined): Promise<Caller> => {
    if (authorization === undefined && session !== undefined) {
      const holder = await findSession(db, session);
      if (!holder) throw unauthenticated();
      if ('token' in holder) return callerOf(...ofToken(holder.token), wanted);
      return callerOf(...ofSubject(holder), wanted);
    }
    const token = /^Bearer ([\x21-\x7e]+)$/.exec(authorization ?? '')?.[1] ?? '';
    if (token === '' || token.length > MAX_TOKEN_CHARACTERS) throw unauthenticated();
    if (token.startsWith('lgt_')) {
      const found = await findByToken(db, token, new Date());
      if (!found) throw unauthenticated();
      return callerOf(...ofToken(found), wanted);
    }
    const identity = await oidc?.(token);
    if (!identity) throw unauthenticated();
    return callerOf(...ofSubject(identity), wanted);
  };

  async function callerOf(actor: string, grants: Grants, wanted: string | undefined): Promise<Caller> {
    const everywhere = grants.some(({ workspace }) => workspace === '*');
    const own = [...new Set(grants.map(({ workspace }) => workspace).filter((workspace) => workspace !== '*'))];
    const workspace = wanted ?? (everywhere ? defaultWorkspace : own.length === 1 ? own[0] : undefined);
    if (workspace === undefined) throw noWorkspace('Say which workspace with the header Lockgate-Workspace.');
    const roles = grants.filter((grant) => grant.workspace === '*' || grant.workspace === workspace);
    const exists = workspace === defaultWorkspace || (everywhere && (await workspaceExists(db, workspace)));
    // The same for one that does not exist and one that is somebody else's.
    if (roles.length === 0 || (everywhere && !exists)) throw noWorkspace('Ask an administrator for a role in it.');
    const permissions = new Set<Permission>(roles.flatMap(({ role }) => [...permissionsOf(role)]));
    return { actor, workspace, permissions, everywhere, workspaces: everywhere ? null : own };
  }
}

type Grants = OidcIdentity['grants'];

function ofToken({
  id,
  name,
  workspace,
  role,
}: Pick<TokenRecord, 'id' | 'name' | 'workspace' | 'role'>): [string, Grants] {
  return [`token ${name} (${id})`, [{ workspace: workspace ?? '*', role }]];
}

function ofSubject({ subject, grants }: OidcIdentity): [string, Grants] {
  return [`oidc ${subject.slice(0, 200)}`, grants];
}

function unauthenticated(): LockgateError {
  return new LockgateError(
    'unauthenticated',
    'There is no valid token.',
    'Send "Authorization: Bearer lgt_..."; make one with: lockgate tokens create',
  );
}

function noWorkspace(hint: string): LockgateError {
  return new LockgateError('forbidden', 'The workspace is not one that this token may use.', hint);
}
