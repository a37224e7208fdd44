import type { JWTPayload, JWTVerifyGetKey } from 'jose';

/** Asymmetric ones only: a public key must not be taken for a shared secret. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];
const TIMEOUT_MS = 5000;
const CLOCK_SKEW_SECONDS = 30;

export interface IssuerSettings {
  readonly issuer: string;
  readonly audience: string;
  /** Null: found by the issuer's discovery document. */
  readonly jwksUri: string | null;
}

/** Checks tokens of one issuer, whose keys are fetched when they are first needed. Null: it is not a valid token of it. */
export function openIssuer({
  issuer,
  audience,
  jwksUri,
}: IssuerSettings): (token: string) => Promise<JWTPayload | null> {
  let keys: Promise<JWTVerifyGetKey> | undefined;
  const open = async (): Promise<JWTVerifyGetKey> => {
    const { createRemoteJWKSet } = await import('jose');
    const uri = jwksUri ?? (await discover(issuer));
    return createRemoteJWKSet(new URL(uri), { timeoutDuration: TIMEOUT_MS });
  };
  return async (token) => {
    try {
      const { jwtVerify } = await import('jose');
      keys ??= open();
      const { payload } = await jwtVerify(token, await keys, {
        issuer,
        audience,
        algorithms: ALGORITHMS,
        clockTolerance: CLOCK_SKEW_SECONDS,
        requiredClaims: ['exp', 'sub'],
      });
      return payload;
    } catch (error) {
      // Keys that could not be fetched are asked for again by the next one.
      if (!(error as { code?: string }).code?.startsWith('ERR_J')) keys = undefined;
      return null;
    }
  };
}

async function discover(issuer: string): Promise<string> {
  const answer = await fetch(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, {
    redirect: 'error',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const { jwks_uri } = (await answer.json()) as { jwks_uri?: unknown };
  if (typeof jwks_uri !== 'string' || !URL.canParse(jwks_uri)) throw new Error('no jwks_uri');
  return jwks_uri;
}
