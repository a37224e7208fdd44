import { timingSafeEqual } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { JWTPayload } from 'jose';
import { openIssuer } from '../access/issuer.ts';
import { hashOf, newTokenText } from '../access/tokens.ts';
import type { Queryable } from '../contract/database.ts';
import { LockgateError } from '../contract/errors.ts';
import type { Issuer, Policy, Principal } from './policy.ts';

const TOKEN = /^lgs_([0-9a-f]{12})_([A-Za-z0-9_-]{43})$/;
const MAX_TOKEN_CHARACTERS = 16_384;

export interface StoreToken {
  readonly id: string;
  readonly name: string;
  readonly createdAt: Date;
  readonly createdBy: string;
  readonly expiresAt: Date;
  readonly revokedAt: Date | null;
}

const COLUMNS = `id, name, created_at as "createdAt", created_by as "createdBy", expires_at as "expiresAt", revoked_at as "revokedAt"`;

/** A new token, which is shown once; only its hash is kept. */
export async function createStoreToken(
  db: Queryable,
  wish: { readonly name: string; readonly createdBy: string; readonly expiresAt: Date },
): Promise<{ readonly token: string; readonly id: string }> {
  const { id, hash, token } = newTokenText('lgs');
  await db.query('insert into securestore.token (id, hash, name, created_by, expires_at) values ($1, $2, $3, $4, $5)', [
    id,
    hash,
    wish.name,
    wish.createdBy,
    wish.expiresAt,
  ]);
  return { token, id };
}

export function listStoreTokens(db: Queryable): Promise<StoreToken[]> {
  return db.query<StoreToken>(`select ${COLUMNS} from securestore.token order by created_at, id`);
}

/** Throws `token_not_found`. */
export async function revokeStoreToken(db: Queryable, id: string): Promise<void> {
  const revoked = await db.query(
    'update securestore.token set revoked_at = coalesce(revoked_at, now()) where id = $1 returning id',
    [id],
  );
  if (revoked.length === 0) throw new LockgateError('token_not_found', 'There is no such token.');
}

export interface Asking {
  readonly authorization: string | undefined;
  /** Of the connection, where it speaks TLS. */
  readonly socket: Partial<Pick<TLSSocket, 'authorized' | 'getPeerCertificate'>> | undefined;
}

/** Tells who asks. Throws `unauthenticated`, whatever is wrong. */
export class Doorkeeper {
  readonly #db: Queryable;
  readonly #policy: () => Policy;
  readonly #checks = new Map<string, ReturnType<typeof openIssuer>>();

  constructor(db: Queryable, policy: () => Policy) {
    this.#db = db;
    this.#policy = policy;
  }

  async whoIs({ authorization, socket }: Asking): Promise<Principal> {
    const bearer = /^Bearer ([\x21-\x7e]+)$/.exec(authorization ?? '')?.[1] ?? '';
    if (bearer.length > MAX_TOKEN_CHARACTERS) throw unauthenticated();
    const found =
      bearer === '' ? byCertificate(socket) : ((await this.#byToken(bearer)) ?? (await this.#byIssuer(bearer)));
    if (!found) throw unauthenticated();
    return found;
  }

  async #byToken(bearer: string): Promise<Principal | null> {
    const [, id = '', secret = ''] = TOKEN.exec(bearer) ?? [];
    if (id === '') return null;
    const [row] = await this.#db.query<{ hash: Buffer; name: string }>(
      'select hash, name from securestore.token where id = $1 and revoked_at is null and expires_at > now()',
      [id],
    );
    const given = hashOf(secret);
    // Also for one that does not exist, so that the time says nothing.
    const right = timingSafeEqual(given, row?.hash ?? hashOf('nobody'));
    return row && right ? { id: `token:${row.name}`, groups: [] } : null;
  }

  async #byIssuer(bearer: string): Promise<Principal | null> {
    if (bearer.startsWith('lgs_')) return null;
    const { serviceAccounts, issuers } = this.#policy();
    const { decodeJwt } = await import('jose');
    let stated: unknown;
    try {
      stated = decodeJwt(bearer).iss;
    } catch {
      return null;
    }
    for (const each of issuers.filter(({ issuer }) => issuer === stated)) {
      const payload = await this.#checkOf(each)(bearer);
      if (payload) return principalOf(each, payload, serviceAccounts);
    }
    return null;
  }

  /** The policy may be another one by now; the keys of an issuer that it still names are kept. */
  #checkOf({ issuer, audience, jwks }: Issuer): ReturnType<typeof openIssuer> {
    const name = JSON.stringify([issuer, audience, jwks]);
    const check = this.#checks.get(name) ?? openIssuer({ issuer, audience, jwksUri: jwks ?? null });
    this.#checks.set(name, check);
    return check;
  }
}

/** A service account of Kubernetes counts only when it is on the list of those that are let in. */
function principalOf(
  { name, kind, groups }: Issuer,
  payload: JWTPayload,
  serviceAccounts: readonly string[],
): Principal | null {
  const subject = payload.sub ?? '';
  if (kind === 'kubernetes') {
    const [, namespace, account] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(subject) ?? [];
    const full = `${namespace}/${account}`;
    return account && serviceAccounts.includes(full) ? { id: `serviceaccount:${full}`, groups: [] } : null;
  }
  const claimed = payload[groups];
  const all = Array.isArray(claimed) ? claimed : [claimed];
  return {
    id: `oidc:${name}/${subject}`,
    groups: all.filter((group): group is string => typeof group === 'string').map((group) => `group:${name}/${group}`),
  };
}

/** A certificate of the authority that the server was told of; the connection itself has proved the rest. */
function byCertificate(socket: Asking['socket']): Principal | null {
  if (!socket?.authorized || !socket.getPeerCertificate) return null;
  const { subject } = socket.getPeerCertificate();
  const name = subject?.CN;
  return typeof name === 'string' && /^[\w.:@/-]{1,200}$/.test(name) ? { id: `cert:${name}`, groups: [] } : null;
}

function unauthenticated(): LockgateError {
  return new LockgateError(
    'unauthenticated',
    'It is not known who asks.',
    'Send a token of this store, of an issuer in its policy, or a client certificate.',
  );
}
