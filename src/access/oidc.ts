import { readFileSync } from 'node:fs';
import type { JWTPayload, JWTVerifyGetKey } from 'jose';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { ROLES } from '../contract/api/shapes.ts';
import { ConfigError } from '../contract/errors.ts';
import type { Role } from './roles.ts';

export interface OidcSettings {
  readonly issuer: string;
  readonly audience: string;
  /** Absent: found by the issuer's discovery document. */
  readonly jwksUri: string | null;
  readonly rules: readonly OidcRule[];
}

const Rule = z.strictObject({
  claim: z.string().min(1),
  value: z.string().min(1),
  role: z.enum(ROLES),
  /** `*`: every workspace. */
  workspace: z.string().min(1),
});
export type OidcRule = z.infer<typeof Rule>;

export interface OidcIdentity {
  readonly subject: string;
  /** By workspace, `*` for all: the roles that the rules give. */
  readonly grants: readonly { readonly workspace: string; readonly role: Role }[];
}

/** Asymmetric ones only: a public key must not be taken for a shared secret. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];
const TIMEOUT_MS = 5000;
const CLOCK_SKEW_SECONDS = 30;

/** The rules that turn claims into roles: a YAML or JSON list. Throws `ConfigError`. */
export function readOidcRules(file: string): OidcRule[] {
  try {
    return z
      .array(Rule)
      .min(1)
      .parse(parseYaml(readFileSync(file, 'utf8')));
  } catch {
    throw new ConfigError(
      `LOCKGATE_OIDC_RULES (${file}) cannot be used.`,
      'It is a list such as: - { claim: groups, value: data-team, workspace: default, role: editor }',
    );
  }
}

/** Checks tokens of people and of Kubernetes' service accounts. Null: it is not a valid token of this issuer. */
export function openOidc(settings: OidcSettings): (token: string) => Promise<OidcIdentity | null> {
  let keys: Promise<JWTVerifyGetKey> | undefined;
  const open = async (): Promise<JWTVerifyGetKey> => {
    const { createRemoteJWKSet } = await import('jose');
    const uri = settings.jwksUri ?? (await discover(settings.issuer));
    return createRemoteJWKSet(new URL(uri), { timeoutDuration: TIMEOUT_MS });
  };
  return async (token) => {
    try {
      const { jwtVerify } = await import('jose');
      keys ??= open();
      const { payload } = await jwtVerify(token, await keys, {
        issuer: settings.issuer,
        audience: settings.audience,
        algorithms: ALGORITHMS,
        clockTolerance: CLOCK_SKEW_SECONDS,
        requiredClaims: ['exp', 'sub'],
      });
      return identityOf(payload, settings.rules);
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

function identityOf(payload: JWTPayload, rules: readonly OidcRule[]): OidcIdentity {
  const grants = rules.filter(({ claim, value }) => {
    const found = payload[claim];
    return Array.isArray(found) ? found.includes(value) : found === value;
  });
  return { subject: String(payload.sub), grants: grants.map(({ workspace, role }) => ({ workspace, role })) };
}
