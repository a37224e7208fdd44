import { readFileSync } from 'node:fs';
import type { JWTPayload } from 'jose';
import { z } from 'zod';
import { ROLES } from '../contract/api/shapes.ts';
import { ConfigError } from '../contract/errors.ts';
import { parseYaml } from '../contract/yaml.ts';
import { type IssuerSettings, openIssuer } from './issuer.ts';
import type { Role } from './roles.ts';

export interface OidcSettings extends IssuerSettings {
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
export function openOidc({ rules, ...settings }: OidcSettings): (token: string) => Promise<OidcIdentity | null> {
  const check = openIssuer(settings);
  return async (token) => {
    const payload = await check(token);
    return payload && identityOf(payload, rules);
  };
}

/** What the rules make of the claims of a token that is known to be good. */
export function identityOf(payload: JWTPayload, rules: readonly OidcRule[]): OidcIdentity {
  const grants = rules.filter(({ claim, value }) => {
    const found = payload[claim];
    return Array.isArray(found) ? found.includes(value) : found === value;
  });
  return { subject: String(payload.sub), grants: grants.map(({ workspace, role }) => ({ workspace, role })) };
}
